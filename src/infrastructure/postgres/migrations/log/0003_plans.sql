-- Up Migration
-- No plan depends on a planner setting any more, nor outlives the table that it was made for: what looks something up is planned at each call, for the
-- table as large as it is at that moment, analyzed or not. That takes 0.1 ms a batch; what does not depend on a table's size keeps its plan.

-- The version of each stream, in the same order; 0: there is no such stream.
create function stream_versions(p_stream text[]) returns int[] language plpgsql set plan_cache_mode = force_custom_plan as $$
begin
  return (
    select array_agg(coalesce((select e.version from events e where e.stream = i.stream order by e.version desc limit 1), 0) order by i.ord)
    from unnest(p_stream) with ordinality as i(stream, ord)
  );
end $$;

create function stored_results(p_ord int[], p_principal text[], p_key text[]) returns table (ord int, digest text, response text)
language plpgsql rows 1 set plan_cache_mode = force_custom_plan as $$
begin
  return query
  select k.ord, i.digest, i.response
  from unnest(p_ord, p_principal, p_key) as k(ord, principal, key),
    -- Lateral, with a limit: one look-up a key, never a join of the whole table.
    lateral (select i.digest, i.response from idempotency i where i.principal = k.principal and i.key = k.key limit 1) as i;
end $$;

-- Whose the keys are, in the same order; null: nobody's.
create function key_holders(p_scope text[], p_key text[]) returns text[] language plpgsql set plan_cache_mode = force_custom_plan as $$
begin
  return (
    select array_agg((select u.stream from unique_keys u where u.scope = c.scope and u.key = c.key limit 1) order by c.ord)
    from unnest(p_scope, p_key) with ordinality as c(scope, key, ord)
  );
end $$;

create function release_keys(p_scope text[], p_key text[], p_stream text[]) returns void language plpgsql set plan_cache_mode = force_custom_plan as $$
begin
  delete from unique_keys d where d.ctid = any (array(
    select (select u.ctid from unique_keys u where u.scope = r.scope and u.key = r.key and u.stream = r.stream limit 1)
    from unnest(p_scope, p_key, p_stream) as r(scope, key, stream)
  ));
end $$;

-- As before (0001): same parameters, same rows.
create or replace function append_batch(
  p_stream text[], p_expected int[], p_n int[],
  e_ord int[], e_idx int[], e_type text[], e_schema int[], e_data text, e_meta text,
  k_ord int[], k_principal text[], k_key text[], k_digest text[], k_response text[],
  c_ord int[], c_scope text[], c_key text[],
  r_ord int[], r_scope text[], r_key text[]
) returns table (ord int, status text, pos bigint, at timestamptz, first text, second text) language plpgsql as $$
declare
  -- Taken apart before the lock.
  e_data_texts text[] := string_to_array(e_data, chr(31));
  e_meta_texts text[] := string_to_array(e_meta, chr(31));
  h bigint;
  t timestamptz;
  versions int[];
  refused int[] := '{}';
  -- By ord: the position before the first event of an append; null: it is not accepted.
  ahead bigint[];
  total bigint;
begin
  -- Locked before anything is read: each later statement sees all that was committed before.
  select head.position, greatest(head.at, clock_timestamp()) into h, t from head for update;
  versions := stream_versions(p_stream);

  if cardinality(k_ord) > 0 then
    for ord, first, second in select r.ord, r.digest, r.response from stored_results(k_ord, k_principal, k_key) as r(ord, digest, response) loop
      status := 'duplicate';
      refused := refused || ord;
      return next;
    end loop;
  end if;

  if cardinality(c_ord) > 0 then
    for ord, first, second in
      select c.ord, min(c.scope), min(c.key)
      from unnest(c_ord, c_scope, c_key, key_holders(c_scope, c_key)) as c(ord, scope, key, holder)
      where c.ord <> all (refused) and c.holder <> p_stream[c.ord] and p_expected[c.ord] = versions[c.ord]
      group by c.ord
    loop
      status := 'taken';
      refused := refused || ord;
      return next;
    end loop;
  end if;

  -- Neither behind nor ahead will do.
  select array_agg(h + a.until - a.n order by a.ord), coalesce(sum(a.n), 0) into ahead, total
  from (
    select i.ord, i.n, sum(i.n) over (order by i.ord rows unbounded preceding) as until
    from (
      select u.ord, case when u.expected = u.version and u.ord <> all (refused) then u.n end as n
      from unnest(p_expected, p_n, versions) with ordinality as u(expected, n, version, ord)
    ) as i
  ) as a;

  insert into events (position, stream, version, type, schema_version, data, metadata, recorded_at)
  select ahead[e.ord] + e.idx, p_stream[e.ord], p_expected[e.ord] + e.idx, e.type, e.schema, e.data::json, e.meta::json, t
  from unnest(e_ord, e_idx, e_type, e_schema, e_data_texts, e_meta_texts) as e(ord, idx, type, schema, data, meta)
  where ahead[e.ord] is not null;
  update head set position = h + total, at = t;

  if cardinality(k_ord) > 0 then
    insert into idempotency (principal, key, digest, response, at)
    select k.principal, k.key, k.digest, replace(k.response, '{position}', (ahead[k.ord] + p_n[k.ord])::text), t
    from unnest(k_ord, k_principal, k_key, k_digest, k_response) as k(ord, principal, key, digest, response)
    where ahead[k.ord] is not null;
  end if;
  if cardinality(r_ord) > 0 then
    perform release_keys(array_agg(r.scope), array_agg(r.key), array_agg(p_stream[r.ord]))
    from unnest(r_ord, r_scope, r_key) as r(ord, scope, key) where ahead[r.ord] is not null;
  end if;
  if cardinality(c_ord) > 0 then
    insert into unique_keys (scope, key, stream)
    select c.scope, c.key, p_stream[c.ord] from unnest(c_ord, c_scope, c_key) as c(ord, scope, key) where ahead[c.ord] is not null
    on conflict do nothing;
  end if;
  return query select a.ord::int, 'appended', a.before + a.n, t, null::text, null::text from unnest(ahead, p_n) with ordinality as a(before, n, ord) where a.before is not null;
end $$;

-- The queue's (0002).
alter function enqueue_command(text, text, json, text, text, text, timestamptz, int) reset enable_seqscan set plan_cache_mode = force_custom_plan;
alter function finish_command(text, int, text, json) reset enable_seqscan set plan_cache_mode = force_custom_plan;
alter function cancel_command(text) reset enable_seqscan set plan_cache_mode = force_custom_plan;
alter function next_command_is_due(text) reset enable_seqscan set plan_cache_mode = force_custom_plan;

-- In plpgsql, so that it is planned for its limit: a plan for any limit joins the whole table.
create or replace function lease_commands(p_limit int, p_lease_ms int) returns setof commands language plpgsql set plan_cache_mode = force_custom_plan as $$
begin
  return query
  with next as materialized (
    select c.number, c.status = 'accepted' and coalesce(c.deadline <= clock_timestamp(), false) as overdue
    from commands c where c.due <= clock_timestamp() order by c.due, c.number limit p_limit for update skip locked
  )
  update commands c set
    status = case when overdue then c.status else 'running' end,
    fence = c.fence + 1,
    attempts = c.attempts + case when overdue then 0 else 1 end,
    due = clock_timestamp() + make_interval(secs => p_lease_ms / 1000.0),
    started_at = case when overdue then null else coalesce(c.started_at, clock_timestamp()) end
  from next where c.number = next.number
  returning c.*;
end $$;
