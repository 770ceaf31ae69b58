import { isDeepStrictEqual } from 'node:util';
import type { Client, estypes } from '@elastic/elasticsearch';
import { keepNewest } from '../../application/keep-newest.js';
import { furthest } from '../../application/partition.js';
import type {
  Condition, FacetCount, Place, StoredDocument, ViewPage, ViewProgress, ViewQuery, ViewStore, ViewStores,
} from '../../application/ports/view-store.js';
import { fieldAt, type View, type ViewDeclaration } from '../../application/projections/projection.js';
import { wordsOf } from '../../application/text.js';
import { notBegun } from '../../application/view-progress.js';
import { faultOf, refusingFaults } from './elasticsearch-client.js';
import { createGeneration, createIndex, fieldName, fieldsOf, indexBehind, indexNamesOf } from './elasticsearch-index.js';

const facetSize = 100;
const readSize = 1_000;
const largestBulk = 2_000;
const smallestBulk = 50;
const bulkAttempts = 6;
/** A query that is not answered is refused; a projector can wait longer. */
const queryTimeoutMs = 4_000;
const rememberedPlaces = 50_000;
/** No document has this id: those begin with a letter or a digit. */
const progressId = '~progress';

interface Options {
  indexPrefix: string;
  /** At least so long between two refreshes. Each costs about 20 ms and a segment. */
  refreshEveryMs?: number;
}

export class ElasticsearchViewStores implements ViewStores {
  constructor(private readonly client: Client, private readonly options: Options) {}

  /** An unreachable cluster is no reason not to start: the index is then made at the first use. */
  async open<D extends object>(view: View<D>): Promise<ViewStore<D>> {
    const store = new ElasticsearchViewStore(view, this.client, this.options);
    await store.prepare().catch((error: unknown) => { if (faultOf(error) !== 'unreachable') throw error; });
    return store;
  }
}

/** A document as it lies in the index. */
interface Source<D> extends StoredDocument<D> {
  words: string;
  fields: Record<string, unknown>;
}

interface StoredProgress { revision: number; progress: ViewProgress }

/** Which write of a document is the stored one: the next one must be based on it. */
interface Written { revision: number; seqNo: number; primaryTerm: number }

class ElasticsearchViewStore<D extends object> implements ViewStore<D> {
  private readonly alias: string;
  private prepared: Promise<void> | undefined;
  /** May be old: a write that is based on an old one is refused. */
  private readonly written = new Map<string, Written>();
  private bulkSize = largestBulk / 2;
  private lastRefresh = -Infinity;
  private readonly queries: Client;

  constructor(private readonly view: View<D>, private readonly client: Client, private readonly options: Options) {
    this.queries = client.child({ requestTimeout: queryTimeoutMs });
    this.alias = indexNamesOf(view, options.indexPrefix).alias;
  }

  prepare(): Promise<void> {
    this.prepared ??= createIndex(this.client, this.view, this.options.indexPrefix).catch((error: unknown) => {
      this.prepared = undefined;
      throw error;
    });
    return this.prepared;
  }

  read(ids: readonly string[]): Promise<Map<string, StoredDocument<D>>> {
    const serve = ids.length === 1 ? this.answering.bind(this) : this.serving.bind(this);
    return serve(async () => {
      const found = new Map<string, StoredDocument<D>>();
      for (let from = 0; from < ids.length; from += readSize) {
        const { docs } = await (ids.length === 1 ? this.queries : this.client).mget<Source<D>>({ index: this.alias, ids: ids.slice(from, from + readSize), _source_excludes: ['words', 'fields'] });
        for (const doc of docs) {
          if (!('found' in doc) || !doc.found || doc._source === undefined) continue;
          const { id, revision, applied, deleted, document } = doc._source;
          found.set(id, { id, revision, applied, deleted, document });
          this.remember(id, { revision, seqNo: doc._seq_no ?? 0, primaryTerm: doc._primary_term ?? 0 });
        }
      }
      return found;
    });
  }

  write(documents: readonly StoredDocument<D>[], progress: ViewProgress): Promise<string[]> {
    return this.serving(async () => {
      const conflicts = await this.store(documents);
      if (documents.length > 0) await this.refresh();
      if (conflicts.length === 0) await this.moveProgress(progress, documents.length > 0);
      return conflicts;
    });
  }

  progress(): Promise<ViewProgress | undefined> {
    return this.answering(async () => (await this.readProgress()).stored?.progress);
  }

  find({ where, words, sort, limit, after, facets = [] }: ViewQuery): Promise<ViewPage<D>> {
    return this.answering(async () => {
      const filter = [{ term: { deleted: false } }, ...where.map((condition) => holds(this.view, condition)), ...(words === undefined ? [] : occur(words))];
      const order = sort.descending ? 'desc' : 'asc';
      // Before the documents: what it says has been applied can then be found.
      const { stored } = await this.readProgress();
      const { hits, aggregations } = await this.queries.search<Source<D>, Record<string, estypes.AggregationsMultiBucketAggregateBase<Bucket>>>({
        index: this.alias,
        query: { bool: { filter } },
        sort: [{ [this.field(sort.field)]: { order } }, { id: { order } }],
        ...(after !== undefined && { search_after: [isDate(this.view, sort.field) ? Date.parse(String(after[0])) : after[0], after[1]] }),
        size: limit + 1,
        track_total_hits: true,
        _source_excludes: ['words', 'fields'],
        ...(facets.length > 0 && { aggregations: Object.fromEntries(facets.map((path) => [path, facet(this.view, path, this.field(path))])) }),
      });
      const found = hits.hits.slice(0, limit);
      const last = found.at(-1)?.sort;
      return {
        items: found.flatMap(({ _source }) => (_source === undefined ? [] : [documentOf(_source)])),
        total: typeof hits.total === 'number' ? hits.total : hits.total?.value ?? 0,
        ...(hits.hits.length > limit && last !== undefined && { next: this.placeOf(last, sort.field) }),
        facets: Object.fromEntries(facets.map((path) => [path, countsOf(aggregations?.[path])])),
        progress: stored?.progress ?? notBegun,
      };
    });
  }

  /** A new, empty generation takes the old one's place in one step. */
  reset(): Promise<void> {
    return this.serving(async () => {
      const names = indexNamesOf(this.view, this.options.indexPrefix);
      const old = await indexBehind(this.client, names.alias);
      const next = names.index(old === undefined ? 1 : Number(old.slice(old.lastIndexOf('-g') + 2)) + 1);
      await createGeneration(this.client, this.view, next);
      await this.client.indices.updateAliases({
        actions: [{ add: { index: next, alias: names.alias } }, ...(old === undefined ? [] : [{ remove_index: { index: old } }])],
      });
      this.written.clear();
    });
  }

  private async serving<T>(work: () => Promise<T>): Promise<T> {
    return refusingFaults(async () => {
      await this.prepare();
      return work();
    });
  }

  /** A query's time is limited as a whole: the client's own limit does not hold while a connection is being made. */
  private answering<T>(work: () => Promise<T>): Promise<T> {
    return refusingFaults(async () => {
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<never>((_, reject) => {
        timer = setTimeout(() => { reject(Object.assign(new Error('Elasticsearch has not answered'), { name: 'TimeoutError' })); }, queryTimeoutMs + 500);
      });
      try {
        return await Promise.race([this.prepare().then(work), late]);
      } finally {
        clearTimeout(timer);
      }
    });
  }

  /** @returns ids of the documents that were not stored, because somebody else's write came first */
  private async store(documents: readonly StoredDocument<D>[]): Promise<string[]> {
    const conflicts: string[] = [];
    await this.recall(documents);
    const based = documents.filter(({ id, revision }) => {
      if (revision === 1 || this.written.get(id)?.revision === revision - 1) return true;
      conflicts.push(id);
      return false;
    });
    let open = based;
    for (let attempt = 1; open.length > 0; attempt++) {
      const refused: StoredDocument<D>[] = [];
      for (let from = 0; from < open.length;) {
        const chunk = open.slice(from, from + this.bulkSize);
        from += chunk.length;
        await this.storeChunk(chunk, conflicts, refused);
      }
      open = refused;
      if (open.length === 0) this.bulkSize = Math.min(largestBulk, Math.ceil(this.bulkSize * 1.5));
      else {
        // The node has too much to do: less at a time, and later.
        if (attempt === bulkAttempts) throw Object.assign(new Error('Elasticsearch has been too busy for these documents'), { name: 'TimeoutError' });
        this.bulkSize = Math.max(smallestBulk, Math.floor(this.bulkSize / 2));
        await new Promise((resolve) => setTimeout(resolve, 50 * 2 ** attempt));
      }
    }
    return conflicts;
  }

  /** One request, item by item: HTTP 200 on a bulk proves nothing. */
  private async storeChunk(chunk: readonly StoredDocument<D>[], conflicts: string[], refused: StoredDocument<D>[]): Promise<void> {
    const { items } = await this.client.bulk({
      index: this.alias,
      require_alias: true,
      operations: chunk.flatMap((stored) => [this.operationOf(stored), this.sourceOf(stored)]),
      filter_path: ['items.*.status', 'items.*._seq_no', 'items.*._primary_term', 'items.*.error.type', 'items.*.error.reason'],
    }).catch((error: unknown) => {
      // What became of it is not known: nothing that is remembered can be built on.
      for (const { id } of chunk) this.written.delete(id);
      // A node that cannot do so much in time, cold or busy, would not do it the next time either.
      if (error instanceof Error && error.name === 'TimeoutError') this.bulkSize = Math.max(smallestBulk, Math.floor(this.bulkSize / 2));
      throw error;
    });
    chunk.forEach((stored, index) => {
      const { status, _seq_no: seqNo, _primary_term: primaryTerm, error } = Object.values(items[index] ?? {})[0] ?? { status: 0 };
      if (status === 200 || status === 201) this.remember(stored.id, { revision: stored.revision, seqNo: seqNo ?? 0, primaryTerm: primaryTerm ?? 0 });
      else {
        this.written.delete(stored.id);
        if (status === 409) conflicts.push(stored.id);
        else if (status === 429 || status === 503 || (status === 403 && error?.type === 'cluster_block_exception')) refused.push(stored);
        else throw new Error(`${this.alias} does not take ${stored.id}: ${error?.type ?? status} ${error?.reason ?? ''}`);
      }
    });
  }

  private operationOf({ id, revision }: StoredDocument<D>): estypes.BulkOperationContainer {
    const before = revision === 1 ? undefined : this.written.get(id);
    return before === undefined ? { create: { _id: id } } : { index: { _id: id, if_seq_no: before.seqNo, if_primary_term: before.primaryTerm } };
  }

  private sourceOf({ id, revision, applied, deleted, document }: StoredDocument<D>): Source<D> {
    return { id, revision, applied, deleted, document, words: wordsOf(this.view, document).join(' '), fields: fieldsOf(this.view, document) };
  }

  /** Learns what these documents are to be based on, where it is not known. */
  private async recall(documents: readonly StoredDocument<D>[]): Promise<void> {
    const unknown = documents.filter(({ id, revision }) => revision > 1 && this.written.get(id)?.revision !== revision - 1).map(({ id }) => id);
    for (let from = 0; from < unknown.length; from += readSize) {
      const { docs } = await this.client.mget<Pick<Source<D>, 'revision'>>({ index: this.alias, ids: unknown.slice(from, from + readSize), _source_includes: ['revision'] });
      for (const doc of docs) {
        if ('found' in doc && doc.found && doc._source) this.remember(doc._id, { revision: doc._source.revision, seqNo: doc._seq_no ?? 0, primaryTerm: doc._primary_term ?? 0 });
      }
    }
  }

  private remember(id: string, place: Written): void {
    keepNewest(this.written, id, place, rememberedPlaces);
  }

  private async refresh(): Promise<void> {
    const due = this.lastRefresh + (this.options.refreshEveryMs ?? 100) - performance.now();
    if (due > 0) await new Promise((resolve) => setTimeout(resolve, due));
    this.lastRefresh = performance.now();
    await this.client.indices.refresh({ index: this.alias });
  }

  private async readProgress(): Promise<{ stored: StoredProgress | undefined; seqNo?: number; primaryTerm?: number }> {
    const { found, _source, _seq_no, _primary_term } = await this.queries.get<StoredProgress>({ index: this.alias, id: progressId }, { ignore: [404] });
    if (!found || _source === undefined) return { stored: undefined };
    return { stored: _source, ...(_seq_no !== undefined && { seqNo: _seq_no }), ...(_primary_term !== undefined && { primaryTerm: _primary_term }) };
  }

  /** Others may be moving it for other partitions: nobody's move is lost. */
  private async moveProgress(progress: ViewProgress, refreshed: boolean): Promise<void> {
    for (let searchable = refreshed; ;) {
      const { stored, seqNo, primaryTerm } = await this.readProgress();
      const next: ViewProgress = { ...progress, applied: furthest(stored?.progress.applied ?? {}, progress.applied) };
      // Whoever died between a bulk and its refresh left documents that no search finds; whoever goes on has nothing to write, and would call them applied.
      if (!searchable && !isDeepStrictEqual(next.applied, stored?.progress.applied)) {
        await this.refresh();
        searchable = true;
      }
      const { status } = await this.client.index({
        index: this.alias, id: progressId, require_alias: true,
        ...(seqNo === undefined || primaryTerm === undefined ? { op_type: 'create' as const } : { if_seq_no: seqNo, if_primary_term: primaryTerm }),
        document: { deleted: true, revision: (stored?.revision ?? 0) + 1, progress: next },
      }, { ignore: [409] }) as { status?: number };
      if (status !== 409) return;
    }
  }

  /** @throws Error when the view declares no such field */
  private field(path: string): string {
    fieldAt(this.view, path);
    return fieldName(path);
  }

  private placeOf([value, id]: estypes.SortResults, path: string): Place {
    return [isDate(this.view, path) ? new Date(Number(value)).toISOString() : value as string | number, String(id)];
  }
}

interface Bucket { key: string | number; key_as_string?: string; doc_count: number }

function documentOf<D>({ id, revision, applied, deleted, document }: Source<D>): StoredDocument<D> {
  return { id, revision, applied, deleted, document };
}

function isDate(view: ViewDeclaration, path: string): boolean {
  return fieldAt(view, path).kind === 'date';
}

function holds(view: ViewDeclaration, condition: Condition): estypes.QueryDslQueryContainer {
  fieldAt(view, condition.field);
  const field = fieldName(condition.field);
  if ('in' in condition) return { terms: { [field]: [...condition.in] } };
  const { from, to, before } = condition;
  return { range: { [field]: { ...(from !== undefined && { gte: from }), ...(to !== undefined && { lte: to }), ...(before !== undefined && { lt: before }) } } };
}

/** Folded words go past every analyzer. No words at all are found nowhere. */
function occur(words: readonly string[]): estypes.QueryDslQueryContainer[] {
  const last = words.at(-1);
  if (last === undefined) return [{ match_none: {} }];
  return [...words.slice(0, -1).map((word) => ({ term: { words: word } })), { prefix: { words: last } }];
}

function facet(view: ViewDeclaration, path: string, field: string): estypes.AggregationsAggregationContainer {
  if (isDate(view, path)) return { date_histogram: { field, calendar_interval: 'month', format: 'yyyy-MM', min_doc_count: 1 } };
  return { terms: { field, size: facetSize, order: [{ _count: 'desc' }, { _key: 'asc' }] } };
}

function countsOf(found: estypes.AggregationsMultiBucketAggregateBase<Bucket> | undefined): FacetCount[] {
  const buckets = Array.isArray(found?.buckets) ? found.buckets : [];
  return buckets.map(({ key, key_as_string: text, doc_count: count }) => ({ key: text ?? String(key), count }));
}
