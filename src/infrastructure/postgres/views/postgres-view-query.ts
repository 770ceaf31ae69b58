import type { Condition, ViewDeclaration, ViewQuery } from '../../../application/ports/view-store.js';
import { columnAt, element, type Column, type Table } from './postgres-view-table.js';

const facetSize = 100;

/**
 * One statement is one snapshot: the counts and the progress (a first row of their own) belong to the page behind them. Which documents are on the page is found
 * in the narrow rows of the keys (k), and in the documents (d) only where something is searched in them: up to `sortedHits` are found by their index and then
 * sorted; where there are more, the list is gone through in its order, because one in a hundred of a million documents is a hit then.
 */
export function findStatement(view: ViewDeclaration, table: Table, progressName: string, query: ViewQuery & { countUpTo: number }, sortedHits = 10_000): { text: string; values: unknown[] } {
  const { where, words, sort, limit, after, countUpTo, facets = [] } = query;
  const values: unknown[] = [progressName];
  const value = (one: unknown) => `$${values.push(one)}`;
  const column = (path: string) => columnAt(view, table, path);
  const isSet = (path: string) => column(path).type === 'text[]';
  const kept = ['not k.deleted', ...where.filter(({ field }) => !isSet(field)).map((condition) => holds(condition, column(condition.field), value))];
  const searched = [...where.filter(({ field }) => isSet(field)).map((condition) => holds(condition, column(condition.field), value)),
    ...(words === undefined ? [] : [words.length === 0 ? 'false' : `d.words @@ ${value(tsquery(words))}::tsquery`])].join(' and ');
  const by = column(sort.field);
  const direction = sort.descending ? 'desc' : 'asc';
  const behind = after === undefined ? '' : ` and (k.${by.name}, k.id) ${sort.descending ? '<' : '>'} (${value(after[0])}, ${value(after[1])})`;
  const inOrder = `where ${kept.join(' and ')}${behind} order by k.${by.name} ${direction}, k.id ${direction} limit ${value(limit + 1)}`;
  const place = `select k.id, k.${by.name} as place from`;
  const both = `${table.keysName} k join ${table.name} d on d.id = k.id`;
  const matching = searched === '' ? { from: `${table.keysName} k`, conditions: kept.join(' and ') } : { from: both, conditions: [...kept, searched].join(' and ') };
  const onlySearched = searched !== '' && kept.length === 1;
  const counts = facets.map((path) => `${value(path)}::text, ${facet(column(path), view.fields[path]?.kind === 'date', isSet(path) ? { ...matching, from: both } : matching)}`);
  // OFFSET 0 keeps the planner from joining all documents, which it would where it knows little of the tables yet.
  const documentOf = (of: string, conditions = '') => `lateral (select d.* from ${table.name} d where d.id = ${of}.id${conditions} offset 0)`;
  return {
    values,
    text: `
      with hits as materialized (${searched === '' ? 'select' : `select d.id from ${table.name} d where not d.deleted and ${searched} limit ${sortedHits + 1}`}),
      page as materialized (${searched === '' ? `${place} ${table.keysName} k ${inOrder}` : `
        (${place} hits h cross join lateral (select k.* from ${table.keysName} k where k.id = h.id offset 0) k ${inOrder.replace('where', `where (select count(*) from hits) <= ${sortedHits} and`)})
        union all
        (${place} ${table.keysName} k cross join ${documentOf('k', ` and ${searched}`)} as found ${inOrder.replace('where', `where (select count(*) from hits) > ${sortedHits} and`)})`})
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

/** Stops one above: that there are more is all that is wanted then. The bound is part of the text: as a parameter it would be unknown to the planner. */
function counted({ from, conditions }: Matching, upTo: number): string {
  if (upTo === 0) return 'null::bigint';
  return upTo === Infinity ? `(select count(*) from ${from} where ${conditions})` : `(select count(*) from (select from ${from} where ${conditions} limit ${upTo + 1}) as counted)`;
}

function facet({ name, type }: Column, months: boolean, { from, conditions }: Matching): string {
  const column = qualified(name, type);
  const key = months ? `left(${column}, 7)` : `${column}::text collate "C"`;
  return `(select json_agg(f) from (select ${key} as key, count(*) as count from ${from} where ${conditions} and ${column} is not null
    group by 1 order by ${months ? 'key' : `count desc, key limit ${facetSize}`}) f)`;
}

/** Folded words as lexemes, quoted: nothing in them is query syntax. The last one as a prefix. */
function tsquery(words: readonly string[]): string {
  return words.map((word, index) => `'${word.replaceAll('\\', '\\\\').replaceAll("'", "''")}'${index === words.length - 1 ? ':*' : ''}`).join(' & ');
}
