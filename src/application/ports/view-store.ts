import type { Context, EventType } from '../../domain/events.js';
import type { Progress } from './event-feed.js';
import type { RecordedEvent } from './event-store.js';

/** How a field can be asked for. A field that no query needs is not declared: it is stored and returned all the same. */
export type Field =
  /**
   * Exact values: equality, facets, sorting. `lookup`: lists of one value are asked for often, or the value is rare, so it is worth an index in the
   * first sort order.
   */
  | { kind: 'keyword'; lookup?: true }
  /** Words that `q` searches; never compared. */
  | { kind: 'text' }
  | { kind: 'long' }
  /** ISO 8601 in UTC with milliseconds, as events have it: its order as text is its order in time. */
  | { kind: 'date' }
  | { kind: 'boolean' }
  /** An array of objects: a condition on `lines.sku` holds when one element's value does. */
  | { kind: 'nested'; fields: Readonly<Record<string, { kind: 'keyword' | 'text' }>> };

export type Key = 'orderId' | 'customerId';

/** What every view says of itself: enough to make its table or index, and to know what can be asked of it. */
export interface ViewDeclaration {
  /** Durable: names tables, indices and consumer groups. */
  name: string;
  /** Raised when fields or handlers change: the view is then folded anew. */
  revision: number;
  key: Key;
  contexts: readonly Context[];
  /** The context whose service folds it, and answers from it. */
  servedBy: Context;
  /** The database that it lives in: a context's, for its own copy of another context's data, or the query store. */
  home: Context | 'views';
  /** By path into the document. */
  fields: Readonly<Record<string, Field>>;
  /** Paths of the declared fields whose words `q` searches. */
  searched: readonly string[];
  /** Paths that lists may be sorted by. */
  sortable: readonly string[];
  /** The event that a document begins with, if there is just one: a document need not be looked for before it. */
  begins?: EventType;
}

/** A view as data. What it handles are the keys of `on`, so no second list can disagree. */
export interface View<D extends object> extends ViewDeclaration {
  on: Readonly<Partial<Record<EventType, (document: D | undefined, event: never, recorded: RecordedEvent) => D | undefined>>>;
}

/** A document with what makes its writing safe. */
export interface StoredDocument<D> {
  id: string;
  /** 1 when first written, then one more with each write. */
  revision: number;
  /** By source: the position of the last event that this document has applied. */
  applied: Progress;
  /** Deleted documents stay, so that a late event cannot bring them back; no query shows them. */
  deleted: boolean;
  document: D;
}

/**
 * How far a view has got, kept beside its documents and written only after they can be found. Written, it speaks of the sources in `applied`, which may
 * be some of the view's; read, of all of them: then `behindSince` and `checkedAt` are those of the slowest one.
 */
export interface ViewProgress {
  applied: Progress;
  /** `recordedAt` of the oldest event not yet applied; `null` when there was none at `checkedAt`. */
  behindSince: string | null;
  /** When the projector last looked (ISO 8601). */
  checkedAt: string;
  /** Epochs of the logs that the view was folded from, by context. */
  epochs: Readonly<Record<string, string>>;
}

/** Field names are paths into the document: `status`, `lines.sku`. Several conditions must all hold. */
export type Condition =
  | { field: string; in: readonly (string | boolean)[] }
  /** Bounds in the field's own kind; for dates ISO 8601. */
  | { field: string; from?: number | string; to?: number | string; /** exclusive */ before?: number | string };

export interface ViewQuery {
  where: readonly Condition[];
  /** Folded words, all of which must occur in the document's text; the last one as a prefix. */
  words?: readonly string[];
  /** Ties are broken by id, in the same direction. */
  sort: { field: string; descending: boolean };
  limit: number;
  /** Begin behind this place of the same sort order. */
  after?: Place;
  /** Counts the documents that match up to this number: 0 does not count, Infinity counts them all; 10,000 by default. */
  countUpTo?: number;
  /** Fields to count the values of, over all documents that match. A date field counts months (`1996-07`). */
  facets?: readonly string[];
}

/** Where a document stands in a sort order. */
export type Place = readonly [value: number | string, id: string];

export interface FacetCount {
  key: string;
  count: number;
}

export interface ViewPage<D> {
  items: StoredDocument<D>[];
  /** Number of all documents that match, on this page or not; absent when they were not to be counted. */
  total?: number;
  /** There are more than `total`: counting stopped there. */
  totalIsAtLeast?: true;
  /** Behind the last item; absent when no more follow. */
  next?: Place;
  /** Most frequent first, then by key; at most 100 a field; months in order of time. */
  facets: Record<string, FacetCount[]>;
  /** The page shows at least this progress: it is read no later than the documents are. */
  progress: ViewProgress;
}

/**
 * The documents of one view. Queries never write; writing is safe against any number of writers and any redelivery.
 * - A document is stored only when its revision is one above the stored one (or 1 and there is none); the others are reported as conflicts.
 * - Progress is stored only when every document of the same write was, and never goes back.
 * - Nothing is stored where less is applied than the writer counts on (`counted`): a crash of the server or a reset has set the view back.
 * - What was stored cannot be changed through what was handed in or returned.
 * @throws Rejection `view.unavailable` when the store cannot be reached.
 */
export interface ViewStore<D> {
  /** The documents of these ids that exist, deleted ones too, by id. */
  read(ids: readonly string[]): Promise<Map<string, StoredDocument<D>>>;
  /**
   * @returns ids of the documents that were not stored, because somebody else's write came first
   * @throws ViewSetBack when the stored progress is lower than `counted` in any source
   */
  write(documents: readonly StoredDocument<D>[], progress: ViewProgress, counted?: Progress): Promise<string[]>;
  /** `undefined` before the first write. */
  progress(): Promise<ViewProgress | undefined>;
  find(query: ViewQuery): Promise<ViewPage<D>>;
  /** Forgets all documents and the progress: the view will be folded anew. */
  reset(): Promise<void>;
}

/** Opens the store of a view; makes what it needs (table, index) from the view's declaration. */
export interface ViewStores {
  open<D extends object>(view: View<D>): Promise<ViewStore<D>>;
}

