-- Up Migration
-- Commands that are done later, one queue per context.

create table commands (
  number bigint generated always as identity primary key,
  command_id text not null unique,
  stream text not null,
  -- json, not jsonb: kept as it was accepted.
  command json not null,
  principal text not null,
  key text,
  digest text,
  status text not null default 'accepted' check (status in ('accepted', 'running', 'succeeded', 'refused', 'failed', 'cancelled', 'expired')),
  -- Counts leases; attempts count only those that began the command.
  fence int not null default 0,
  attempts int not null default 0,
  -- When it may be leased: at once, or when its lease ends. Null: it waits behind another command of its stream, or is finished.
  due timestamptz,
  deadline timestamptz,
  started_at timestamptz,
  finished_at timestamptz,
  outcome json
) with (fillfactor = 70);
create unique index commands_key on commands (principal, key) where key is not null;
create index commands_due on commands (due, number) where due is not null;
create index commands_unfinished on commands (stream, number) where finished_at is null;
create index commands_finished on commands (finished_at) where finished_at is not null;

-- Held by whoever adds to a stream's queue or ends a command of it: else one could be added behind a command that ends at this moment, and never come due.
create function lock_command_stream(p_stream text) returns void language sql as $$
  select pg_advisory_xact_lock(hashtextextended('orderfold commands ' || current_schema() || ' ' || p_stream, 0))
$$;

-- The command as it is kept, or the one that was accepted before under its id or key; no row when the queue is full.
create function enqueue_command(
  p_command_id text, p_stream text, p_command json, p_principal text, p_key text, p_digest text, p_deadline timestamptz, p_limit int
) returns setof commands language plpgsql set enable_seqscan = off as $$
begin
  return query select c.* from commands c where c.command_id = p_command_id;
  if found then return; end if;
  return query select c.* from commands c where c.principal = p_principal and c.key = p_key;
  if found then return; end if;
  if (select count(*) from (select from commands c where c.finished_at is null limit p_limit) as unfinished) >= p_limit then return; end if;
  perform lock_command_stream(p_stream);
  return query
  insert into commands (command_id, stream, command, principal, key, digest, deadline, due)
  values (p_command_id, p_stream, p_command, p_principal, p_key, p_digest, p_deadline,
    case when (select true from commands c where c.stream = p_stream and c.finished_at is null limit 1) then null else clock_timestamp() end)
  on conflict do nothing returning *;
  if found then return; end if;
  return query select c.* from commands c where c.command_id = p_command_id or (c.principal = p_principal and c.key = p_key);
end $$;

-- One that was not begun before its deadline stays accepted: it is leased only to be ended.
create function lease_commands(p_limit int, p_lease_ms int) returns setof commands language sql set enable_seqscan = off as $$
  with next as materialized (
    select number, status = 'accepted' and coalesce(deadline <= clock_timestamp(), false) as overdue
    from commands where due <= clock_timestamp() order by due, number limit p_limit for update skip locked
  )
  update commands c set
    status = case when overdue then c.status else 'running' end,
    fence = c.fence + 1,
    attempts = c.attempts + case when overdue then 0 else 1 end,
    due = clock_timestamp() + make_interval(secs => p_lease_ms / 1000.0),
    started_at = case when overdue then null else coalesce(c.started_at, clock_timestamp()) end
  from next where c.number = next.number
  returning c.*
$$;

-- False when another lease was given since.
create function finish_command(p_command_id text, p_fence int, p_status text, p_outcome json) returns boolean language plpgsql set enable_seqscan = off as $$
declare
  s text;
begin
  select c.stream into s from commands c where c.command_id = p_command_id and c.fence = p_fence;
  if not found then return false; end if;
  perform lock_command_stream(s);
  update commands c set status = p_status, outcome = p_outcome, finished_at = clock_timestamp(), due = null
  where c.command_id = p_command_id and c.fence = p_fence and c.finished_at is null;
  if found then
    perform next_command_is_due(s);
    return true;
  end if;
  -- Said before, and the answer was lost.
  return coalesce((select c.finished_at is not null from commands c where c.command_id = p_command_id and c.fence = p_fence), false);
end $$;

create function cancel_command(p_command_id text) returns void language plpgsql set enable_seqscan = off as $$
declare
  s text;
begin
  select c.stream into s from commands c where c.command_id = p_command_id;
  if not found then return; end if;
  perform lock_command_stream(s);
  update commands c set status = 'cancelled', outcome = '{"status":"cancelled"}', finished_at = clock_timestamp(), due = null
  where c.command_id = p_command_id and c.status = 'accepted' and coalesce(c.deadline > clock_timestamp(), true);
  if found then perform next_command_is_due(s); end if;
end $$;

create function next_command_is_due(p_stream text) returns void language sql set enable_seqscan = off as $$
  update commands set due = clock_timestamp()
  where due is null and number = (select c.number from commands c where c.stream = p_stream and c.finished_at is null order by c.number limit 1)
$$;

do $$
begin
  execute format('grant select, insert, update, delete on commands to %I', 'orderfold_' || current_schema());
end $$;
