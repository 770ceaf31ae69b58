import type { Client, estypes } from '@elastic/elasticsearch';
import type { Progress } from '../../application/ports/event-feed.js';
import type { StoredDocument, View, ViewPage, ViewProgress, ViewQuery, ViewStore, ViewStores } from '../../application/ports/view-store.js';
import { bySource, checkNotSetBack, mergeSources, notBegun, overall, type ProgressBySource } from '../../application/views/progress.js';
import { OperatorError } from '../process/operator-error.js';
import { share } from '../../application/concurrency/share.js';
import { within } from '../../application/concurrency/within.js';
import { ElasticsearchFault, faultOf, faultOfAnswer, passes, refusingFaults, told } from './elasticsearch-client.js';
import { ElasticsearchDocuments, type Source } from './elasticsearch-documents.js';
import { createGeneration, createIndex, generationBehind, indexBehind, indexNamesOf, nextGeneration, type Generation } from './elasticsearch-index.js';
import { pageOf, searchFor, type Aggregations } from './elasticsearch-query.js';

/** A query that is not answered is refused; a projector can wait longer. */
const queryTimeoutMs = 4_000;
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
      if (!passes(fault)) throw new OperatorError(`The view ${view.name} cannot be opened. ${told(fault)}`);
    });
    return store;
  }
}

interface StoredProgress { revision: number; progress: { sources: ProgressBySource; epochs: ViewProgress['epochs'] } }

interface FoundProgress {
  /** Which generation it is of. */
  index: string;
  stored?: StoredProgress;
  seqNo?: number;
  primaryTerm?: number;
}

class ElasticsearchViewStore<D extends object> implements ViewStore<D> {
  private readonly alias: string;
  private prepared: Promise<void> | undefined;
  /** The index that what this process knows is from. */
  private generation: Generation | undefined;
  private readonly documents: ElasticsearchDocuments<D>;
  private lastRefresh = -Infinity;
  /** Asked for by every query, and again and again by those that wait for a position. */
  private readonly latestProgress = share(() => this.readProgress());

  constructor(private readonly view: View<D>, private readonly client: Client, private readonly options: Options) {
    this.alias = indexNamesOf(view, options.indexPrefix).alias;
    this.documents = new ElasticsearchDocuments(view, client, this.alias);
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
    return ask(() => this.documents.read(ids));
  }

  write(documents: readonly StoredDocument<D>[], progress: ViewProgress, counted: Progress = {}): Promise<string[]> {
    return this.serving(async () => {
      const before = await this.ownProgress(counted);
      const conflicts = await this.documents.write(documents);
      // What another writer has stored, or this one before it was interrupted, may not be searchable yet either.
      if (documents.length > 0 || goesBeyond(progress, before)) await this.refresh();
      if (conflicts.length > 0) return conflicts;
      await this.moveProgress(progress, before, counted);
      // Better before the next documents are taken up than between their bulk and its refresh: what comes meanwhile is in the next bulk.
      if (documents.length > 0) await this.untilRefreshIsDue();
      return [];
    });
  }

  progress(): Promise<ViewProgress | undefined> {
    return this.answering(async () => {
      const found = await this.latestProgress();
      this.generation ??= await generationBehind(this.client, this.alias);
      return progressOf(found);
    });
  }

  find(query: ViewQuery): Promise<ViewPage<D>> {
    return this.answering(async () => {
      const search = searchFor(this.view, query);
      // Before the documents: what it says has been applied can then be found.
      const found = await this.latestProgress();
      const answer = await this.client.search<Source<D>, Aggregations>({ index: this.alias, ...search });
      return { ...pageOf(this.view, query, answer), progress: progressOf(found) ?? notBegun };
    });
  }

  /** A new, empty generation takes the old one's place in one step. When somebody else has done so since this process last looked, theirs stays. */
  reset(): Promise<void> {
    return this.serving(async () => {
      const old = await generationBehind(this.client, this.alias);
      if (old !== undefined && this.generation !== undefined && old.uuid !== this.generation.uuid) {
        this.goOnWith(old);
        return;
      }
      const next = await nextGeneration(this.client, indexNamesOf(this.view, this.options.indexPrefix));
      await createGeneration(this.client, this.view, next);
      const actions: estypes.IndicesUpdateAliasesAction[] = [{ add: { index: next, alias: this.alias } }];
      if (old !== undefined) actions.push({ remove_index: { index: old.index } });
      try {
        await this.client.indices.updateAliases({ actions });
      } catch (error) {
        const now = await indexBehind(this.client, this.alias);
        if (now === undefined || now === old?.index) throw error;
        // Another process was quicker.
        if (now !== next) await this.client.indices.delete({ index: next }, { ignore: [404] });
      }
      this.goOnWith(await generationBehind(this.client, this.alias));
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
    const late = () => new ElasticsearchFault('unreachable', `${this.alias} has not answered within ${queryTimeoutMs} ms`);
    return refusingFaults(() => within(queryTimeoutMs, late, this.reading(work)));
  }

  private goOnWith(generation: Generation | undefined): void {
    this.generation = generation;
    this.documents.forget();
  }

  /** @throws Error when somebody has put another generation in place, or set this one back: what this process has in hand was not made for it */
  private async ownProgress(counted: Progress): Promise<FoundProgress> {
    const [found, generation] = await Promise.all([this.readProgress(), generationBehind(this.client, this.alias)]);
    this.generation ??= generation;
    if (generation?.uuid !== this.generation?.uuid || found.index !== generation?.index) {
      const was = this.generation?.index === found.index ? 'the index of that name that was there before' : this.generation?.index ?? 'there';
      const message = `${this.alias} is now ${found.index}, no longer ${was}: the projector begins again with what is there`;
      this.goOnWith(generation);
      throw new Error(message);
    }
    checkNotSetBack(this.view.name, found.stored?.progress.sources ?? {}, counted);
    return found;
  }

  private async refresh(): Promise<void> {
    await this.untilRefreshIsDue();
    this.lastRefresh = performance.now();
    const { _shards: shards } = await this.client.indices.refresh({ index: this.alias });
    if (shards !== undefined && shards.failed > 0) throw new ElasticsearchFault('unreachable', `${this.alias} could not be refreshed`);
  }

  private async untilRefreshIsDue(): Promise<void> {
    const due = this.lastRefresh + (this.options.refreshEveryMs ?? 100) - performance.now();
    if (due > 0) await new Promise((resolve) => setTimeout(resolve, due));
  }

  private async readProgress(): Promise<FoundProgress> {
    const { body, statusCode } = await this.client.get<StoredProgress>(
      { index: this.alias, id: progressId }, { ignore: [404], meta: true, requestTimeout: queryTimeoutMs },
    );
    const { error } = body as { error?: { type?: string } };
    if (error !== undefined) {
      const fault = faultOfAnswer(statusCode, error.type) ?? 'unreachable';
      throw new ElasticsearchFault(fault, `the progress of ${this.alias} cannot be read: ${error.type ?? ''}`);
    }
    const { _index: index, found, _source: stored, _seq_no: seqNo, _primary_term: primaryTerm } = body;
    if (!found || stored === undefined) return { index };
    return { index, stored, ...(seqNo !== undefined && { seqNo }), ...(primaryTerm !== undefined && { primaryTerm }) };
  }

  /** Others may be moving it for other partitions: nobody's move is lost. */
  private async moveProgress(progress: ViewProgress, before: FoundProgress, counted: Progress): Promise<void> {
    for (let found = before; ; found = await this.ownProgress(counted)) {
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
}

function progressOf({ stored }: FoundProgress): ViewProgress | undefined {
  return stored && overall(stored.progress.sources, stored.progress.epochs);
}

function goesBeyond({ applied }: ViewProgress, { stored }: FoundProgress): boolean {
  const before = stored?.progress.sources ?? {};
  return (Object.entries(applied) as [keyof ProgressBySource, number][]).some(([source, position]) => position > (before[source]?.position ?? 0));
}

/** What a request gets that is under way while its index is removed: that there is no such index, or no shard of it. */
function mayBeRemoved(error: unknown): boolean {
  const fault = faultOf(error);
  return fault === 'index missing' || (fault === 'unreachable' && error instanceof Error && ['ResponseError', 'ElasticsearchFault'].includes(error.name));
}
