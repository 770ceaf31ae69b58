import type { Context, EventsOf } from '../../domain/events.js';

/** Who and what caused an event. Written once, with the event. */
export interface Metadata {
  /** UUIDv7 of the event. */
  id: string;
  /** The request (or import line) that began it all; handed on by policies. */
  correlationId: string;
  /** The event that a policy reacted to; `null` when a caller's command caused this one. */
  causationId: string | null;
  principal: string;
  commandId: string;
  traceparent?: string;
}

/** An event as the log holds it. `version` counts 1, 2, 3 … in its stream, `position` in its context's log, both without a hole. */
export interface RecordedEvent<C extends Context = Context> {
  context: C;
  stream: string;
  version: number;
  position: number;
  /** When it was stored (ISO 8601): never goes back along positions. `data.at` is when it happened. */
  recordedAt: string;
  data: EventsOf[C];
  metadata: Metadata;
}

export interface NewEvent<C extends Context = Context> {
  data: EventsOf[C];
  metadata: Metadata;
}

export interface UniqueKey {
  scope: string;
  key: string;
}

/** One caller's name for one request. */
export interface IdempotencyKey {
  principal: string;
  key: string;
}

export interface StoredResult {
  /** Digest of the request that was answered with this. */
  digest: string;
  /** Exactly what was stored. */
  response: string;
}

export interface AppendRequest<C extends Context = Context> {
  stream: string;
  /** The stream's version that the decision was made on; 0 for a stream that does not exist. */
  expectedVersion: number;
  /** May be empty when only the result of a command that changed nothing is to be kept. */
  events: readonly NewEvent<C>[];
  /** Stored in the same transaction. `{position}` in `response` is replaced by the position of the last event. */
  idempotency?: IdempotencyKey & StoredResult;
  /** Asked just before it is stored; when it says no, as after a lost lease, nothing is. */
  mayAppend?: () => boolean;
  /** Keys that this stream holds from now on, and keys that it gives up. */
  claims?: readonly UniqueKey[];
  releases?: readonly UniqueKey[];
  /** As `performance.now()`: an append that has not begun by then is refused, and never stored. By default, the store's own limit. */
  deadline?: number;
}

/** What became of one append; its neighbours in a batch do not matter. Checked in this order: duplicate, conflict, taken. */
export type AppendOutcome =
  | { status: 'appended'; version: number; position: number; recordedAt: string }
  /** The idempotency key was used before: nothing was stored. */
  | { status: 'duplicate'; stored: StoredResult }
  /** The stream is not at the expected version, be it behind or ahead. */
  | { status: 'conflict' }
  /** Another stream holds this unique key. */
  | { status: 'taken'; key: UniqueKey }
  /** `mayAppend` said no: nothing was stored. */
  | { status: 'withdrawn' };

export interface LogQuery {
  /** Events with a greater position, in order of position. */
  after: number;
  /** At most this many events. */
  limit: number;
  types?: readonly string[];
  stream?: string;
  correlationId?: string;
}

export interface LogPage<C extends Context = Context> {
  events: RecordedEvent<C>[];
  /** Read on after this position: that of the last event, or of the head when the filter let no more through. */
  next: number;
}

export interface LogHead {
  /** Position of the last event; 0 when there is none. */
  position: number;
  /** Names this very log: a log that was restored from an older backup gets another one. */
  epoch: string;
}

/**
 * The log of one context.
 * - Appends all events of a request or none, and only at the expected version: a writer that is behind, or ahead, gets a conflict.
 * - Positions are 1, 2, 3 … in commit order: who has seen n has seen everything up to n.
 * - Events, idempotency keys and unique keys are stored together or not at all.
 * - What was stored is never changed, and cannot be changed through what was returned.
 * - A result that could not be learned (connection lost during the commit) is looked up, never appended again blindly.
 * @throws Rejection `log.unavailable` when the log cannot be reached or written, or an outcome could not be learned in time. `outcome` says which:
 *   `not-stored`, and it never will be, or `unknown`. `disk: 'full'` when that is the reason.
 */
export interface EventStore<C extends Context = Context> {
  append(request: AppendRequest<C>): Promise<AppendOutcome>;
  /** A stream's events in order: with a version above `after` (default 0), at most up to version `to`. `[]` when there are none. */
  readStream(stream: string, range?: { after?: number; to?: number }): Promise<RecordedEvent<C>[]>;
  readLog(query: LogQuery): Promise<LogPage<C>>;
  head(): Promise<LogHead>;
  /** The result that was stored under an idempotency key. */
  findResult(key: IdempotencyKey): Promise<StoredResult | undefined>;
  /** Resolves when the log can be read, and be appended to where that has failed. @throws Rejection `log.unavailable` with the reason */
  check(): Promise<void>;
  /** How often the connection to the log was lost so far: the server that answers now may lack events that were stored before. */
  readonly interruptions: number;
}

/** The logs of all contexts that a process serves. */
export type EventStores = { [C in Context]: EventStore<C> };
