import type { Client, estypes } from '@elastic/elasticsearch';
import { keepNewest } from '../../application/concurrency/keep-newest.js';
import type { StoredDocument, View } from '../../application/ports/view-store.js';
import { wordsOf } from '../../application/views/text.js';
import { ElasticsearchFault, faultOfAnswer } from './elasticsearch-client.js';
import { fieldsOf } from './elasticsearch-index.js';

const readSize = 1_000;
const largestBulk = 2_000;
/** A node accepts 100 MB; a proxy in between may accept less, and a smaller request is not slower. */
const largestBulkBytes = 5_000_000;
const bulkAttempts = 6;
const rememberedPlaces = 20_000;

/** A document as the index stores it. */
export interface Source<D> extends StoredDocument<D> {
  words: string;
  fields: Record<string, unknown>;
}

/** The last write of a document that was stored: the next one must be based on it. */
interface Written { revision: number; seqNo: number; primaryTerm: number }

/** The documents behind an alias: read as last written, searchable or not. A write of a document must be based on the revision before it. */
export class ElasticsearchDocuments<D extends object> {
  /** May be outdated: Elasticsearch then refuses the write that is based on it. */
  private readonly written = new Map<string, Written>();
  private bulkSize = largestBulk / 2;

  constructor(private readonly view: View<D>, private readonly client: Client, private readonly alias: string) {}

  async read(ids: readonly string[]): Promise<Map<string, StoredDocument<D>>> {
    const found = new Map<string, StoredDocument<D>>();
    for (const { _source, ...doc } of await this.get<Source<D>>(ids, { _source_excludes: ['words', 'fields'] })) {
      found.set(_source.id, documentOf(_source));
      this.remember(_source.id, placeOf(_source.revision, doc));
    }
    return found;
  }

  /** To be called when the index is another generation: what is remembered belongs to the old one. */
  forget(): void {
    this.written.clear();
  }

  /** @returns ids of the documents that were not stored, because somebody else's write came first */
  async write(documents: readonly StoredDocument<D>[]): Promise<string[]> {
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
      // The node is overloaded: send less at a time, and later.
      attempt = refused.length < chunk.length ? 1 : attempt + 1;
      if (attempt > bulkAttempts) {
        throw new ElasticsearchFault('unreachable', `Elasticsearch has been too busy for ${refused.length} documents of ${this.alias}`);
      }
      this.bulkSize = Math.max(1, Math.floor(chunk.length / 2));
      await new Promise((resolve) => setTimeout(resolve, 50 * 2 ** attempt));
    }
    return conflicts;
  }

  /** The first of them, as many as fit into one request. */
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
   * Sends one request, and checks each item of the answer: a bulk request answers 200 even when items failed.
   * @returns the documents that the node was too busy to store
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
      // A node that was too slow for so many, cold or busy, would be too slow the next time as well.
      if (error instanceof Error && error.name === 'TimeoutError') this.bulkSize = Math.max(1, Math.floor(chunk.length / 2));
      // The outcome is not known: the remembered places may be outdated.
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
    if (before === undefined) return { create: { _id: id } };
    return { index: { _id: id, if_seq_no: before.seqNo, if_primary_term: before.primaryTerm } };
  }

  private sourceOf({ id, revision, applied, deleted, document }: StoredDocument<D>): Source<D> {
    return { id, revision, applied, deleted, document, words: wordsOf(this.view, document).join(' '), fields: fieldsOf(this.view, document) };
  }

  /** Looks up the writes that these documents are to be based on, where they are not remembered. */
  private async recall(documents: readonly StoredDocument<D>[]): Promise<void> {
    const unknown = documents.filter(({ id, revision }) => revision > 1 && this.written.get(id)?.revision !== revision - 1).map(({ id }) => id);
    for (const { _source, ...doc } of await this.get<Pick<Source<D>, 'id' | 'revision'>>(unknown, { _source_includes: ['id', 'revision'] })) {
      this.remember(_source.id, placeOf(_source.revision, doc));
    }
  }

  /** The documents that exist, as last written, searchable or not. `part`: which fields of them. */
  private async get<T>(ids: readonly string[], part: Part): Promise<Found<T>[]> {
    const found: Found<T>[] = [];
    for (let from = 0; from < ids.length; from += readSize) {
      const { docs } = await this.client.mget<T>({ index: this.alias, ids: ids.slice(from, from + readSize), ...part });
      for (const doc of docs) {
        // The whole request answers 200 all the same. A document that could not be looked up must not count as missing.
        if ('error' in doc) {
          const { type, reason } = doc.error;
          throw new ElasticsearchFault(faultOfAnswer(0, type) ?? 'unreachable', `${this.alias} does not give ${doc._id}: ${type} ${reason ?? ''}`);
        }
        if (doc.found && doc._source !== undefined) found.push({ ...doc, _source: doc._source });
      }
    }
    return found;
  }

  private remember(id: string, place: Written): void {
    keepNewest(this.written, id, place, rememberedPlaces);
  }
}

export function documentOf<D>({ id, revision, applied, deleted, document }: Source<D>): StoredDocument<D> {
  return { id, revision, applied, deleted, document };
}

/** Whether the whole request was refused, for its size or for the time being. Nothing of it was stored then; if that is wrong, a conflict will show it. */
function isTooMuch(error: unknown): boolean {
  return error instanceof Error && error.name === 'ResponseError' && [413, 429, 503].includes((error as { statusCode?: number }).statusCode ?? 0);
}

type Part = Pick<estypes.MgetRequest, '_source_includes' | '_source_excludes'>;

interface Versioned { _seq_no?: number; _primary_term?: number }

interface Found<T> extends Versioned { _source: T }

function placeOf(revision: number, { _seq_no: seqNo = 0, _primary_term: primaryTerm = 0 }: Versioned): Written {
  return { revision, seqNo, primaryTerm };
}
