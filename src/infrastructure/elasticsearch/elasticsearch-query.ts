import type { estypes } from '@elastic/elasticsearch';
import type { Condition, FacetCount, Place, ViewDeclaration, ViewPage, ViewQuery } from '../../application/ports/view-store.js';
import { fieldAt } from '../../application/views/declaration.js';
import { countedUpTo, totalOf } from '../../application/views/total.js';
import { documentOf, type Source } from './elasticsearch-documents.js';
import { fieldName } from './elasticsearch-index.js';

// A query of a view as Elasticsearch is asked it, and the page that its answer makes.

const facetSize = 100;

interface Bucket { key: string | number; key_as_string?: string; doc_count: number }

/** By path of the facet. */
export type Aggregations = Record<string, estypes.AggregationsMultiBucketAggregateBase<Bucket>>;

type Answer<D> = Pick<estypes.SearchResponseBody<Source<D>, Aggregations>, 'hits' | 'aggregations'>;

/** @throws Error when the view declares no such field */
export function searchFor(view: ViewDeclaration, query: ViewQuery): estypes.SearchRequest {
  const { where, words, sort, limit, after, countUpTo = countedUpTo, facets = [] } = query;
  const filter = [{ term: { deleted: false } }, ...where.map((condition) => holds(view, condition)), ...(words === undefined ? [] : occur(words))];
  const order = sort.descending ? 'desc' : 'asc';
  const search: estypes.SearchRequest = {
    query: { bool: { filter } },
    sort: [{ [declared(view, sort.field)]: { order } }, { id: { order } }],
    // One more than are shown tells whether others follow.
    size: limit + 1,
    track_total_hits: tracked(countUpTo),
    allow_partial_search_results: false,
    _source_excludes: ['words', 'fields'],
  };
  if (after !== undefined) search.search_after = [isDate(view, sort.field) ? Date.parse(String(after[0])) : after[0], after[1]];
  if (facets.length > 0) search.aggregations = Object.fromEntries(facets.map((path) => [path, facet(view, path)]));
  return search;
}

export function pageOf<D>(view: ViewDeclaration, query: ViewQuery, { hits, aggregations }: Answer<D>): Omit<ViewPage<D>, 'progress'> {
  const { sort, limit, countUpTo = countedUpTo, facets = [] } = query;
  const shown = hits.hits.slice(0, limit);
  const counted = typeof hits.total === 'number' ? hits.total : hits.total?.value ?? 0;
  const page: Omit<ViewPage<D>, 'progress'> = {
    items: shown.flatMap(({ _source }) => (_source === undefined ? [] : [documentOf(_source)])),
    ...totalOf(counted, countUpTo),
    facets: Object.fromEntries(facets.map((path) => [path, countsOf(aggregations?.[path])])),
  };
  const last = shown.at(-1)?.sort;
  if (hits.hits.length > limit && last !== undefined) page.next = placeOf(view, sort.field, last);
  return page;
}

function declared(view: ViewDeclaration, path: string): string {
  fieldAt(view, path);
  return fieldName(path);
}

function isDate(view: ViewDeclaration, path: string): boolean {
  return fieldAt(view, path).kind === 'date';
}

/** One above `countUpTo` is enough to know that there are more. */
function tracked(countUpTo: number): boolean | number {
  if (countUpTo === 0) return false;
  return countUpTo === Infinity ? true : countUpTo + 1;
}

function holds(view: ViewDeclaration, condition: Condition): estypes.QueryDslQueryContainer {
  const field = declared(view, condition.field);
  if ('in' in condition) return { terms: { [field]: [...condition.in] } };
  const { from, to, before } = condition;
  const bounds: { gte?: number | string; lte?: number | string; lt?: number | string } = {};
  if (from !== undefined) bounds.gte = from;
  if (to !== undefined) bounds.lte = to;
  if (before !== undefined) bounds.lt = before;
  return { range: { [field]: bounds } };
}

/** Folded words go past every analyzer. No words at all are found nowhere. */
function occur(words: readonly string[]): estypes.QueryDslQueryContainer[] {
  const last = words.at(-1);
  if (last === undefined) return [{ match_none: {} }];
  return [...words.slice(0, -1).map((word) => ({ term: { words: word } })), { prefix: { words: last } }];
}

function facet(view: ViewDeclaration, path: string): estypes.AggregationsAggregationContainer {
  const field = declared(view, path);
  if (isDate(view, path)) return { date_histogram: { field, calendar_interval: 'month', format: 'yyyy-MM', min_doc_count: 1 } };
  return { terms: { field, size: facetSize, order: [{ _count: 'desc' }, { _key: 'asc' }] } };
}

function countsOf(found: estypes.AggregationsMultiBucketAggregateBase<Bucket> | undefined): FacetCount[] {
  const buckets = Array.isArray(found?.buckets) ? found.buckets : [];
  return buckets.map(({ key, key_as_string: text, doc_count: count }) => ({ key: text ?? String(key), count }));
}

/** Elasticsearch sorts dates by their milliseconds since 1970; a place holds them as documents do. */
function placeOf(view: ViewDeclaration, path: string, [value, id]: estypes.SortResults): Place {
  return [isDate(view, path) ? new Date(Number(value)).toISOString() : value as string | number, String(id)];
}
