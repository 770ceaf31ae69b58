import type { Client, estypes } from '@elastic/elasticsearch';
import { keepNewest } from '../../application/keep-newest.js';
import type {
  Condition, FacetCount, Place, StoredDocument, ViewPage, ViewProgress, ViewQuery, ViewStore, ViewStores,
} from '../../application/ports/view-store.js';
import { fieldAt, type View, type ViewDeclaration } from '../../application/projections/projection.js';
import { wordsOf } from '../../application/text.js';
import { bySource, mergeSources, notBegun, overall, type ProgressBySource } from '../../application/view-progress.js';
import { OperatorError } from '../operator-error.js';
import { ElasticsearchFault, faultOf, faultOfAnswer, refusingFaults, told } from './elasticsearch-client.js';
import { createGeneration, createIndex, fieldName, fieldsOf, indexBehind, indexNamesOf, nextGeneration } from './elasticsearch-index.js';
import { share } from './share.js';

const facetSize = 100;
const readSize = 1_000;
const largestBulk = 2_000;
/** A node takes 100 MB; what is between may take less, and a smaller one is not slower. */
const largestBulkBytes = 5_000_000;
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
    await store.prepare().catch((error: unknown) => {
      const fault = faultOf(error);
      if (fault === undefined) throw error;
      if (fault !== 'unreachable') throw new OperatorError(`The view ${view.name} cannot be opened. ${told(fault)}`);
    });
    return store;
  }
}

/** A document as it lies in the index. */
interface Source<D> extends StoredDocument<D> {
  words: string;
  fields: Record<string, unknown>;
}

interface StoredProgress { revision: number; progress: { sources: ProgressBySource; epochs: ViewProgress['epochs'] } }

interface FoundProgress {
  /** Which generation it is of. */
  index: string;
  stored?: StoredProgress;
  seqNo?: number;
  primaryTerm?: number;
}

/** Which write of a document is the stored one: the next one must be based on it. */
interface Written { revision: number; seqNo: number; primaryTerm: number }

class ElasticsearchViewStore<D extends object> implements ViewStore<D> {
  private readonly alias: string;
  private prepared: Promise<void> | undefined;
  /** The index that what this process knows is from. */
  private generation: string | undefined;
  /** May be old: a write that is based on an old one is refused. */
  private readonly written = new Map<string, Written>();
  private bulkSize = largestBulk / 2;
  private lastRefresh = -Infinity;
  /** Asked for by every query, and again and again by those that wait for a position. */
  private readonly latestProgress = share(() => this.readProgress());

  constructor(private readonly view: View<D>, private readonly client: Client, private readonly options: Options) {
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
    const ask = ids.length === 1 ? this.answering.bind(this) : this.reading.bind(this);
    return ask(async () => {
      const found = new Map<string, StoredDocument<D>>();
      for (const { _source, ...doc } of await this.get<Source<D>>(ids, { _source_excludes: ['words', 'fields'] })) {
        found.set(_source.id, documentOf(_source));
        this.remember(_source.id, placeOf(_source.revision, doc));
      }
      return found;
    });
  }

  write(documents: readonly StoredDocument<D>[], progress: ViewProgress): Promise<string[]> {
    return this.serving(async () => {
      const before = await this.ownProgress();
      const conflicts = await this.store(documents);
      // What another writer has stored, or this one before it was interrupted, may not be searchable yet either.
      if (documents.length > 0 || goesBeyond(progress, before)) await this.refresh();
      if (conflicts.length === 0) await this.moveProgress(progress, before);
      return conflicts;
    });
  }

  progress(): Promise<ViewProgress | undefined> {
    return this.answering(async () => {
      const found = await this.latestProgress();
      this.generation ??= found.index;
      return progressOf(found);
    });
  }

  find({ where, words, sort, limit, after, facets = [] }: ViewQuery): Promise<ViewPage<D>> {
    return this.answering(async () => {
      const filter = [{ term: { deleted: false } }, ...where.map((condition) => holds(this.view, condition)), ...(words === undefined ? [] : occur(words))];
      const order = sort.descending ? 'desc' : 'asc';
      // Before the documents: what it says has been applied can then be found.
      const found = await this.latestProgress();
      const { hits, aggregations } = await this.client.search<Source<D>, Record<string, estypes.AggregationsMultiBucketAggregateBase<Bucket>>>({
        index: this.alias,
        query: { bool: { filter } },
        sort: [{ [this.field(sort.field)]: { order } }, { id: { order } }],
        ...(after !== undefined && { search_after: [isDate(this.view, sort.field) ? Date.parse(String(after[0])) : after[0], after[1]] }),
        size: limit + 1,
        track_total_hits: true,
        allow_partial_search_results: false,
        _source_excludes: ['words', 'fields'],
        ...(facets.length > 0 && { aggregations: Object.fromEntries(facets.map((path) => [path, facet(this.view, path, this.field(path))])) }),
      });
      const shown = hits.hits.slice(0, limit);
      const last = shown.at(-1)?.sort;
      return {
        items: shown.flatMap(({ _source }) => (_source === undefined ? [] : [documentOf(_source)])),
        total: typeof hits.total === 'number' ? hits.total : hits.total?.value ?? 0,
        ...(hits.hits.length > limit && last !== undefined && { next: this.behind(last, sort.field) }),
        facets: Object.fromEntries(facets.map((path) => [path, countsOf(aggregations?.[path])])),
        progress: progressOf(found) ?? notBegun,
      };
    });
  }

  /** A new, empty generation takes the old one's place in one step. When somebody else has done so since this process last looked, theirs stays. */
  reset(): Promise<void> {
    return this.serving(async () => {
      const old = await indexBehind(this.client, this.alias);
      if (old !== undefined && this.generation !== undefined && old !== this.generation) {
        this.goOnWith(old);
        return;
      }
      const next = await nextGeneration(this.client, indexNamesOf(this.view, this.options.indexPrefix));
      await createGeneration(this.client, this.view, next);
      try {
        await this.client.indices.updateAliases({
          actions: [{ add: { index: next, alias: this.alias } }, ...(old === undefined ? [] : [{ remove_index: { index: old } }])],
        });
        this.goOnWith(next);
      } catch (error) {
        const now = await indexBehind(this.client, this.alias);
        if (now === undefined || now === old) throw error;
        // Another process was quicker.
        if (now !== next) await this.client.indices.delete({ index: next }, { ignore: [404] });
        this.goOnWith(now);
      }
    });
  }

  private async serving<T>(work: () => Promise<T>): Promise<T> {
    return refusingFaults(async () => {
      await this.prepare();
      return work();
    });
  }

  /** A reader that has met the old generation while it was removed finds the new one behind the alias. */
  private reading<T>(work: () => Promise<T>): Promise<T> {
    return this.serving(() => work().catch((error: unknown) => {
      if (!mayBeRemoved(error)) throw error;
      return work();
    }));
  }

  /** A query's time is limited as a whole: the client's own limit does not hold while a connection is being made. */
  private answering<T>(work: () => Promise<T>): Promise<T> {
    return refusingFaults(async () => {
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<never>((_, reject) => {
        timer = setTimeout(() => { reject(new ElasticsearchFault('unreachable', `${this.alias} has not answered within ${queryTimeoutMs} ms`)); }, queryTimeoutMs);
      });
      try {
        return await Promise.race([this.reading(work), late]);
      } finally {
        clearTimeout(timer);
      }
    });
  }

  private goOnWith(index: string): void {
    this.generation = index;
    this.written.clear();
  }

  /** @throws Error when somebody has put another generation in place: what this process has in hand was not made for it */
  private async ownProgress(): Promise<FoundProgress> {
    const found = await this.readProgress();
    this.generation ??= found.index;
    if (found.index === this.generation) return found;
    const message = `${this.alias} is now ${found.index}, no longer ${this.generation}: the projector begins again with what is there`;
    this.goOnWith(found.index);
    throw new Error(message);
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
    for (let attempt = 1; open.length > 0;) {
      const chunk = this.chunkOf(open);
      const refused = await this.storeChunk(chunk, conflicts);
      open = [...refused, ...open.slice(chunk.length)];
      if (refused.length === 0) {
        attempt = 1;
        this.bulkSize = Math.min(largestBulk, Math.ceil(this.bulkSize * 1.5));
        continue;
      }
      // The node has too much to do: less at a time, and later.
      attempt = refused.length < chunk.length ? 1 : attempt + 1;
      if (attempt > bulkAttempts) throw new ElasticsearchFault('unreachable', `Elasticsearch has been too busy for ${refused.length} documents of ${this.alias}`);
      this.bulkSize = Math.max(1, Math.floor(chunk.length / 2));
      await new Promise((resolve) => setTimeout(resolve, 50 * 2 ** attempt));
    }
    return conflicts;
  }

  /** As many as the node takes at a time. */
  private chunkOf(documents: readonly StoredDocument<D>[]): { stored: StoredDocument<D>; lines: [string, string] }[] {
    const chunk: { stored: StoredDocument<D>; lines: [string, string] }[] = [];
    let bytes = 0;
    for (const stored of documents.slice(0, this.bulkSize)) {
      const lines: [string, string] = [JSON.stringify(this.operationOf(stored)), JSON.stringify(this.sourceOf(stored))];
      bytes += lines[0].length + Buffer.byteLength(lines[1]);
      if (chunk.length > 0 && bytes > largestBulkBytes) break;
      chunk.push({ stored, lines });
    }
    return chunk;
  }

  /**
   * One request, item by item: HTTP 200 on a bulk proves nothing.
   * @returns those that it had no time for
   */
  private async storeChunk(chunk: ReturnType<typeof this.chunkOf>, conflicts: string[]): Promise<StoredDocument<D>[]> {
    let items: Partial<Record<estypes.BulkOperationType, estypes.BulkResponseItem>>[];
    try {
      ({ items } = await this.client.bulk<string>({
        index: this.alias,
        require_alias: true,
        operations: chunk.flatMap(({ lines }) => lines),
        filter_path: ['items.*.status', 'items.*._seq_no', 'items.*._primary_term', 'items.*.error.type', 'items.*.error.reason'],
      }));
    } catch (error) {
      if (isTooMuch(error)) return chunk.map(({ stored }) => stored);
      // A node that cannot do so much in time, cold or busy, would not do it the next time either.
      if (error instanceof Error && error.name === 'TimeoutError') this.bulkSize = Math.max(1, Math.floor(chunk.length / 2));
      // What became of it is not known: nothing that is remembered can be built on.
      for (const { stored: { id } } of chunk) this.written.delete(id);
      throw error;
    }
    const refused: StoredDocument<D>[] = [];
    chunk.forEach(({ stored }, index) => {
      const item = Object.values(items[index] ?? {})[0];
      const { status, error } = item ?? { status: 0 };
      if (item !== undefined && (status === 200 || status === 201)) {
        this.remember(stored.id, placeOf(stored.revision, item));
        return;
      }
      const fault = faultOfAnswer(status, error?.type);
      if (fault === 'unreachable') {
        refused.push(stored);
        return;
      }
      this.written.delete(stored.id);
      if (status === 409) conflicts.push(stored.id);
      else {
        const message = `${this.alias} does not take ${stored.id}: ${error?.type ?? status} ${error?.reason ?? ''}`;
        throw fault === undefined ? new Error(message) : new ElasticsearchFault(fault, message);
      }
    });
    return refused;
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
    for (const { _source, ...doc } of await this.get<Pick<Source<D>, 'id' | 'revision'>>(unknown, { _source_includes: ['id', 'revision'] })) {
      this.remember(_source.id, placeOf(_source.revision, doc));
    }
  }

  /** Those that there are, as they were last written, searchable or not. */
  private async get<T>(ids: readonly string[], of: Pick<estypes.MgetRequest, '_source_includes' | '_source_excludes'>): Promise<(Versioned & { _source: T })[]> {
    const found: (Versioned & { _source: T })[] = [];
    for (let from = 0; from < ids.length; from += readSize) {
      const { docs } = await this.client.mget<T>({ index: this.alias, ids: ids.slice(from, from + readSize), ...of });
      for (const doc of docs) {
        // Also with HTTP 200: a document that could not be looked for is not one that does not exist.
        if ('error' in doc) throw new ElasticsearchFault(faultOfAnswer(0, doc.error.type) ?? 'unreachable', `${this.alias} does not give ${doc._id}: ${doc.error.type} ${doc.error.reason ?? ''}`);
        if (doc.found && doc._source !== undefined) found.push({ ...doc, _source: doc._source });
      }
    }
    return found;
  }

  private remember(id: string, place: Written): void {
    keepNewest(this.written, id, place, rememberedPlaces);
  }

  private async refresh(): Promise<void> {
    const due = this.lastRefresh + (this.options.refreshEveryMs ?? 100) - performance.now();
    if (due > 0) await new Promise((resolve) => setTimeout(resolve, due));
    this.lastRefresh = performance.now();
    const { _shards: shards } = await this.client.indices.refresh({ index: this.alias });
    if (shards !== undefined && shards.failed > 0) throw new ElasticsearchFault('unreachable', `${this.alias} could not be refreshed`);
  }

  private async readProgress(): Promise<FoundProgress> {
    const { body, statusCode } = await this.client.get<StoredProgress>({ index: this.alias, id: progressId }, { ignore: [404], meta: true, requestTimeout: queryTimeoutMs });
    const { error } = body as { error?: { type?: string } };
    if (error !== undefined) throw new ElasticsearchFault(faultOfAnswer(statusCode, error.type) ?? 'unreachable', `the progress of ${this.alias} cannot be read: ${error.type ?? ''}`);
    const { _index: index, found, _source: stored, _seq_no: seqNo, _primary_term: primaryTerm } = body;
    if (!found || stored === undefined) return { index };
    return { index, stored, ...(seqNo !== undefined && { seqNo }), ...(primaryTerm !== undefined && { primaryTerm }) };
  }

  /** Others may be moving it for other partitions: nobody's move is lost. */
  private async moveProgress(progress: ViewProgress, before: FoundProgress): Promise<void> {
    for (let found = before; ; found = await this.ownProgress()) {
      const { stored, seqNo, primaryTerm } = found;
      const next: StoredProgress['progress'] = {
        sources: mergeSources(stored?.progress.sources ?? {}, bySource(progress)), epochs: { ...stored?.progress.epochs, ...progress.epochs },
      };
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

  private behind([value, id]: estypes.SortResults, path: string): Place {
    return [isDate(this.view, path) ? new Date(Number(value)).toISOString() : value as string | number, String(id)];
  }
}

function progressOf({ stored }: FoundProgress): ViewProgress | undefined {
  return stored && overall(stored.progress.sources, stored.progress.epochs);
}

function goesBeyond({ applied }: ViewProgress, { stored }: FoundProgress): boolean {
  return (Object.entries(applied) as [keyof ProgressBySource, number][]).some(([source, position]) => position > (stored?.progress.sources[source]?.position ?? 0));
}

/** Of the whole request: refused for its size, or for the time being. None of it was done, and where that is wrong, a conflict will show it. */
function isTooMuch(error: unknown): boolean {
  return error instanceof Error && error.name === 'ResponseError' && [413, 429, 503].includes((error as { statusCode?: number }).statusCode ?? 0);
}

/** What a request gets that is under way while its index is removed: that there is no such index, or no shard of it. */
function mayBeRemoved(error: unknown): boolean {
  const fault = faultOf(error);
  return fault === 'index missing' || (fault === 'unreachable' && error instanceof Error && ['ResponseError', 'ElasticsearchFault'].includes(error.name));
}

interface Versioned { _seq_no?: number; _primary_term?: number }

function placeOf(revision: number, { _seq_no: seqNo = 0, _primary_term: primaryTerm = 0 }: Versioned): Written {
  return { revision, seqNo, primaryTerm };
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
