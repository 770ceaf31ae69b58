import type { Condition, ViewDeclaration, ViewQuery } from '../../../application/ports/view-store.js';
import { columnAt, element, type Column, type Table } from './postgres-view-table.js';

const facetSize = 100;

/**
 * One statement is one snapshot: the counts and the progress, in a first row of their own, belong to the page in the rows after it.
 * The documents of the page are found in the narrow rows of the keys (k). The documents (d) are read for that only when words or sets are searched in them:
 * up to `sortedHits` hits are found by their index and then sorted. With more hits the list is read in its order and filtered: among a million documents
 * one in a hundred is a hit then.
 */
export function findStatement(
  view: ViewDeclaration, table: Table, progressName: string, query: ViewQuery & { countUpTo: number }, sortedHits = 10_000,
): { text: string; values: unknown[] } {
  const { where, words, sort, limit, after, countUpTo, facets = [] } = query;
  const values: unknown[] = [progressName];
  const value = (one: unknown) => `$${values.push(one)}`;
  const column = (path: string) => columnAt(view, table, path);
  const isSet = (path: string) => column(path).type === 'text[]';
  const conditions = (on: 'keys' | 'sets') => where
    .filter(({ field }) => isSet(field) === (on === 'sets'))
    .map((condition) => holds(condition, column(condition.field), value));
  const kept = ['not k.deleted', ...conditions('keys')];
  const searches = conditions('sets');
  if (words !== undefined) searches.push(words.length === 0 ? 'false' : `d.words @@ ${value(tsquery(words))}::tsquery`);
  const searched = searches.join(' and ');
  const by = column(sort.field);
  const direction = sort.descending ? 'desc' : 'asc';
  const behind = after === undefined ? '' : ` and (k.${by.name}, k.id) ${sort.descending ? '<' : '>'} (${value(after[0])}, ${value(after[1])})`;
  const rest = `${kept.join(' and ')}${behind} order by k.${by.name} ${direction}, k.id ${direction} limit ${value(limit + 1)}`;
  const place = `select k.id, k.${by.name} as place from`;
  const both = `${table.keysName} k join ${table.name} d on d.id = k.id`;
  const matching: Matching = searched === ''
    ? { from: `${table.keysName} k`, conditions: kept.join(' and ') }
    : { from: both, conditions: [...kept, searched].join(' and ') };
  const onlySearched = searched !== '' && kept.length === 1;
  const counts = facets.map((path) => {
    const rows = isSet(path) ? { ...matching, from: both } : matching;
    return `${value(path)}::text, ${facet(column(path), view.fields[path]?.kind === 'date', rows)}`;
  });
  // OFFSET 0 keeps the planner from joining all documents, which it would do while it has few statistics of the tables.
  const documentOf = (of: string, conditions = '') => `lateral (select d.* from ${table.name} d where d.id = ${of}.id${conditions} offset 0)`;
  const hits = searched === '' ? 'select' : `select d.id from ${table.name} d where not d.deleted and ${searched} limit ${sortedHits + 1}`;
  const page = searched === '' ? `${place} ${table.keysName} k where ${rest}` : `
        (${place} hits h cross join lateral (select k.* from ${table.keysName} k where k.id = h.id offset 0) k
          where (select count(*) from hits) <= ${sortedHits} and ${rest})
        union all
        (${place} ${table.keysName} k cross join ${documentOf('k', ` and ${searched}`)} as found
          where (select count(*) from hits) > ${sortedHits} and ${rest})`;
  return {
    values,
    text: `
      with hits as materialized (${hits}),
      page as materialized (${page})
      select null::text as id, null::int as revision, null::json as applied, null::boolean as deleted, null::json as document, null::${by.type} as place,
        ${onlySearched && countUpTo <= sortedHits ? counted({ from: 'hits', conditions: 'true' }, countUpTo) : counted(matching, countUpTo)} as total,
        (select row_to_json(p) from view_sources p where view = $1) as progress,
        ${counts.length === 0 ? 'null::json' : `json_build_object(${counts.join(', ')})`} as facets
      union all (
        select shown.id, shown.revision, shown.applied, shown.deleted, shown.document, page.place, null, null, null
        from page cross join ${documentOf('page')} as shown order by page.place ${direction}, page.id ${direction})`,
  };
}

interface Matching { from: string; conditions: string }

function holds(condition: Condition, { name, type }: Column, value: (one: unknown) => string): string {
  const column = qualified(name, type);
  if ('in' in condition) {
    if (type === 'text[]') return `${column} && ${value(condition.in.map(element))}::text[]`;
    return condition.in.length === 1 ? `${column} = ${value(condition.in[0])}` : `${column} = any(${value(condition.in)}::${type}[])`;
  }
  const { from, to, before } = condition;
  const bounds = [
    ...(from === undefined ? [] : [`${column} >= ${value(from)}`]),
    ...(to === undefined ? [] : [`${column} <= ${value(to)}`]),
    ...(before === undefined ? [] : [`${column} < ${value(before)}`]),
  ];
  return bounds.length === 0 ? `${column} is not null` : bounds.join(' and ');
}

function qualified(name: string, type: Column['type']): string {
  return `${type === 'text[]' ? 'd' : 'k'}.${name}`;
}

/** Counts to one above `upTo`: that there are more is enough to know then. The bound is part of the text: the planner would not know that of a parameter. */
function counted({ from, conditions }: Matching, upTo: number): string {
  if (upTo === 0) return 'null::bigint';
  if (upTo === Infinity) return `(select count(*) from ${from} where ${conditions})`;
  return `(select count(*) from (select from ${from} where ${conditions} limit ${upTo + 1}) as counted)`;
}

function facet({ name, type }: Column, months: boolean, { from, conditions }: Matching): string {
  const column = qualified(name, type);
  const key = months ? `left(${column}, 7)` : `${column}::text collate "C"`;
  return `(select json_agg(f) from (select ${key} as key, count(*) as count from ${from} where ${conditions} and ${column} is not null
    group by 1 order by ${months ? 'key' : `count desc, key limit ${facetSize}`}) f)`;
}

/** Quotes folded words as lexemes, so that nothing in them is query syntax. The last one matches as a prefix. */
function tsquery(words: readonly string[]): string {
  return words.map((word, index) => `'${word.replaceAll('\\', '\\\\').replaceAll("'", "''")}'${index === words.length - 1 ? ':*' : ''}`).join(' & ');
}
