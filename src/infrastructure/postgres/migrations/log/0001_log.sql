-- Up Migration
-- The log of one context. Runs once per context, with its schema as the search path.

-- One row. Whoever appends locks it first: the position is taken under this lock, so it has no hole and follows the order of commits.
-- The epoch names this log: a log restored from an older backup is given another one.
create table head (
  one boolean primary key default true check (one),
  position bigint not null default 0,
  at timestamptz not null default '-infinity',
  epoch uuid not null default gen_random_uuid()
) with (fillfactor = 10);
insert into head default values;

-- json, not jsonb: an event is kept as it was written, and is never searched by its content.
create table events (
  position bigint primary key,
  stream text not null,
  version int not null,
  type text not null,
  schema_version int not null,
  data json not null,
  metadata json not null,
  recorded_at timestamptz not null,
  unique (stream, version)
);
create index events_correlation on events ((metadata ->> 'correlationId'));

create table idempotency (
  principal text not null,
  key text not null,
  digest text not null,
  response text not null,
  at timestamptz not null,
  primary key (principal, key)
);
create index idempotency_at on idempotency (at);

create table unique_keys (
  scope text not null,
  key text not null,
  stream text not null,
  primary key (scope, key)
);

create table snapshots (
  stream text primary key,
  version int not null,
  revision int not null,
  position bigint not null,
  at text not null,
  state jsonb not null
);

create table checkpoints (
  name text not null,
  source text not null,
  position bigint not null,
  primary key (name, source)
);

-- What was stored is fact, for the owner too.
create function refuse_change() returns trigger language plpgsql as $$
begin
  raise exception 'events are immutable: % is refused', tg_op using errcode = 'restrict_violation';
end $$;
create trigger events_are_immutable before update or delete or truncate on events
  for each statement execute function refuse_change();

-- Appends a batch: p_* one entry per append; e_* its events, in order, by the number of their append (ord, from 1); k_* idempotency keys,
-- (e_data and e_meta are JSON texts joined by U+001F, which JSON cannot contain: reading them as text[] takes longer than storing them),
-- c_* claims and r_* releases of unique keys, by ord. A stream, a key and a unique key occur at most once in a batch.
-- One row per append that is not a conflict: status 'appended' with the position of its last event, 'duplicate' with what was stored, 'taken' with the key.
-- enable_seqscan: a plan that was made while the tables were small must not outlive that.
create function append_batch(
  p_stream text[], p_expected int[], p_n int[],
  e_ord int[], e_idx int[], e_type text[], e_schema int[], e_data text, e_meta text,
  k_ord int[], k_principal text[], k_key text[], k_digest text[], k_response text[],
  c_ord int[], c_scope text[], c_key text[],
  r_ord int[], r_scope text[], r_key text[]
) returns table (ord int, status text, pos bigint, at timestamptz, first text, second text) language plpgsql set enable_seqscan = off as $$
declare
  -- Taken apart before the lock.
  e_data_texts text[] := string_to_array(e_data, chr(31));
  e_meta_texts text[] := string_to_array(e_meta, chr(31));
  h bigint;
  t timestamptz;
  refused int[] := '{}';
  more int[];
  ok_ord int[];
  ok_pos bigint[];
begin
  -- Locked before anything is read: each later statement sees all that was committed before.
  select head.position, greatest(head.at, clock_timestamp()) into h, t from head for update;

  if cardinality(k_ord) > 0 then
    select coalesce(array_agg(k.ord), '{}') into refused
    from unnest(k_ord, k_principal, k_key) as k(ord, principal, key)
    where (select true from idempotency i where i.principal = k.principal and i.key = k.key);
    if cardinality(refused) > 0 then
      return query
      select k.ord, 'duplicate', null::bigint, null::timestamptz, i.digest, i.response
      from unnest(k_ord, k_principal, k_key) as k(ord, principal, key) join idempotency i on i.principal = k.principal and i.key = k.key;
    end if;
  end if;

  if cardinality(c_ord) > 0 then
    for ord, first, second in
      select c.ord, min(c.scope), min(c.key)
      from unnest(c_ord, c_scope, c_key) as c(ord, scope, key)
      where c.ord <> all (refused)
        and (select u.stream from unique_keys u where u.scope = c.scope and u.key = c.key) <> p_stream[c.ord]
        and p_expected[c.ord] = coalesce((select e.version from events e where e.stream = p_stream[c.ord] order by e.version desc limit 1), 0)
      group by c.ord
    loop
      status := 'taken';
      refused := refused || ord;
      return next;
    end loop;
  end if;

  with accepted as materialized (
    select i.ord::int as ord, i.stream, i.expected, i.n, (sum(i.n) over (order by i.ord) - i.n)::bigint as ahead
    from unnest(p_stream, p_expected, p_n) with ordinality as i(stream, expected, n, ord)
    where i.ord <> all (refused)
      -- A scalar subquery: EXISTS is planned badly here. Neither behind nor ahead will do.
      and i.expected = coalesce((select e.version from events e where e.stream = i.stream order by e.version desc limit 1), 0)
  ), stored as (
    insert into events (position, stream, version, type, schema_version, data, metadata, recorded_at)
    select h + a.ahead + e.idx, a.stream, a.expected + e.idx, e.type, e.schema, e.data::json, e.meta::json, t
    from unnest(e_ord, e_idx, e_type, e_schema, e_data_texts, e_meta_texts) as e(ord, idx, type, schema, data, meta) join accepted a on a.ord = e.ord
  ), moved as (
    update head set position = h + coalesce((select sum(a.n) from accepted a), 0), at = t
  )
  select array_agg(a.ord), array_agg(h + a.ahead + a.n) into ok_ord, ok_pos from accepted a;

  if cardinality(k_ord) > 0 then
    insert into idempotency (principal, key, digest, response, at)
    select k.principal, k.key, k.digest, replace(k.response, '{position}', a.pos::text), t
    from unnest(k_ord, k_principal, k_key, k_digest, k_response) as k(ord, principal, key, digest, response)
    join unnest(ok_ord, ok_pos) as a(ord, pos) on a.ord = k.ord;
  end if;
  if cardinality(r_ord) > 0 then
    delete from unique_keys u using unnest(r_ord, r_scope, r_key) as r(ord, scope, key)
    where r.ord = any (ok_ord) and u.scope = r.scope and u.key = r.key and u.stream = p_stream[r.ord];
  end if;
  if cardinality(c_ord) > 0 then
    insert into unique_keys (scope, key, stream)
    select c.scope, c.key, p_stream[c.ord] from unnest(c_ord, c_scope, c_key) as c(ord, scope, key) where c.ord = any (ok_ord)
    on conflict do nothing;
  end if;
  return query select a.ord, 'appended', a.pos, t, null::text, null::text from unnest(ok_ord, ok_pos) as a(ord, pos);
end $$;

-- The runtime's role: it may add to the log and read it, and nothing else; it sees no other schema.
do $$
declare
  runtime text := 'orderfold_' || current_schema();
begin
  begin
    execute format('create role %I nologin', runtime);
  exception when duplicate_object or unique_violation then null;
  end;
  if not (select rolsuper from pg_roles where rolname = current_user) then
    execute format('grant %I to current_user', runtime);
  end if;
  execute format('grant usage on schema %I to %I', current_schema(), runtime);
  execute format('grant select, insert on events to %I', runtime);
  execute format('grant select, update on head to %I', runtime);
  execute format('grant select, insert, delete on idempotency, unique_keys to %I', runtime);
  execute format('grant select, insert, update on snapshots, checkpoints to %I', runtime);
end $$;
