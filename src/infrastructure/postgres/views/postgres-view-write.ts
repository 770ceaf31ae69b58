import { separator, type Column, type Table } from './postgres-view-table.js';

/** How many parameters come before those of the columns: first the sets, then the keys. */
const before = 10;

/**
 * One statement is one transaction. It stores the documents whose revision is the next one and their keys, and the progress only if all documents were stored.
 * A returned row without an id means that nothing was stored, because the view has applied less than $10 counts on. The lock on the row of the progress keeps
 * it from being deleted meanwhile, not from being advanced by others.
 */
export function writeStatement({ name, keysName, sets, keys }: Table): string {
  const columns = [...sets, ...keys];
  const parameter = (column: Column, index: number) => `$${before + 1 + index}::${column.type === 'text[]' ? 'text' : column.type}[]`;
  // Neither JSON nor words contain the separator; reading them as text[] would take longer than storing them.
  const list = (joined: string) => `string_to_array(${joined}::text, '${separator}')`;
  const names = (of: readonly Column[], from = '') => of.map((column) => `, ${from}${column.name}`).join('');
  const parameters = columns.map((column, index) => `, ${parameter(column, index)}`).join('');
  const arrays = sets.map((column) => `, string_to_array(i.${column.name}, '${separator}')`).join('');
  // Keys that have not changed are not written: most revisions of a customer change none.
  const keyed = keysName === name ? '' : `, keyed as (
      insert into ${keysName} as k (id, deleted${names(keys)})
      select i.id, i.deleted${names(keys, 'i.')} from input i join stored s on s.id = i.id
      on conflict (id) do update set (deleted${names(keys)}) = row(excluded.deleted${names(keys, 'excluded.')})
      where (k.deleted${names(keys, 'k.')}) is distinct from (excluded.deleted${names(keys, 'excluded.')})
    )`;
  return `
    with held as materialized (
      select sources from view_sources where view = $7 for key share
    ), whole as materialized (
      select not exists (
        select from jsonb_each_text($10::jsonb) as c(source, position)
        where c.position::bigint > coalesce(((select sources from held) -> c.source ->> 'position')::bigint, 0)) as ok
    ), input as (
      select * from unnest($1::text[], $2::int[], ${list('$3')}, $4::boolean[], ${list('$5')}, ${list('$6')}${parameters})
        as i(id, revision, applied, deleted, document, words${names(columns)})
    ), stored as (
      insert into ${name} as t (id, revision, applied, deleted, document, words${names(sets)})
      select i.id, i.revision, i.applied::json, i.deleted, i.document::json, array_to_tsvector(string_to_array(coalesce(i.words, ''), ' '))${arrays}
      from input i where (select ok from whole) and (i.revision = 1 or (select true from ${name} e where e.id = i.id))
      on conflict (id) do update set (revision, applied, deleted, document, words${names(sets)}) =
        row(excluded.revision, excluded.applied, excluded.deleted, excluded.document, excluded.words${names(sets, 'excluded.')})
      where t.revision = excluded.revision - 1
      returning id
    )${keyed}, progress as (
      insert into view_sources as p (view, sources, epochs)
      select $7, $8::jsonb, $9::jsonb where (select ok from whole) and (select count(*) from stored) = cardinality($1::text[])
      on conflict (view) do update set epochs = p.epochs || excluded.epochs, sources = p.sources || (
        select coalesce(jsonb_object_agg(source, told || jsonb_build_object('position',
          greatest((told ->> 'position')::bigint, (p.sources -> source ->> 'position')::bigint))), '{}')
        from jsonb_each(excluded.sources) as e(source, told))
    )
    select id from stored union all select null from whole where not ok`;
}
