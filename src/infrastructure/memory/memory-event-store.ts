import { randomUUID } from 'node:crypto';
import type { EncodedEvent, EventCodec } from '../../application/log/codec.js';
import type {
  AppendOutcome, AppendRequest, EventStore, IdempotencyKey, LogHead, LogPage, LogQuery, Metadata, RecordedEvent, StoredResult,
} from '../../application/ports/event-store.js';
import type { LogSignal } from '../../application/ports/log-signal.js';
import type { Context } from '../../domain/events.js';
import { Rejection } from '../../domain/shared/rejection.js';

interface Kept {
  stream: string;
  version: number;
  position: number;
  recordedAt: string;
  encoded: EncodedEvent;
  metadata: Metadata;
}

/** Keeps what it is given as copies, so that nobody can change it from outside. */
export class MemoryEventStore<C extends Context> implements EventStore<C> {
  private readonly log: Kept[] = [];
  private readonly streams = new Map<string, Kept[]>();
  private readonly results = new Map<string, StoredResult>();
  private readonly holders = new Map<string, string>();
  readonly interruptions = 0;

  constructor(
    private readonly context: C,
    private readonly codec: EventCodec,
    private readonly signal: LogSignal,
    private readonly epoch: string = randomUUID(),
  ) {}

  /** The same log, read and written through another codec: as by a later version of the software. */
  withCodec(codec: EventCodec): MemoryEventStore<C> {
    return Object.assign(Object.create(MemoryEventStore.prototype) as MemoryEventStore<C>, this, { codec });
  }

  append(request: AppendRequest<C>): Promise<AppendOutcome> {
    if ((request.deadline ?? Infinity) <= performance.now()) {
      return Promise.reject(new Rejection('log.unavailable', { reason: 'the deadline is over', outcome: 'not-stored' }));
    }
    return Promise.resolve(this.appendNow(request));
  }

  readStream(stream: string, { after = 0, to = Infinity }: { after?: number; to?: number } = {}): Promise<RecordedEvent<C>[]> {
    return Promise.resolve((this.streams.get(stream) ?? []).slice(after, to).map((kept) => this.recorded(kept)));
  }

  readLog({ after, limit, types, stream, correlationId }: LogQuery): Promise<LogPage<C>> {
    const events: RecordedEvent<C>[] = [];
    for (const kept of this.log.slice(after)) {
      if (events.length === limit) return Promise.resolve({ events, next: events.at(-1)?.position ?? after });
      const wanted = (types === undefined || types.includes(kept.encoded.type)) && (stream === undefined || kept.stream === stream)
        && (correlationId === undefined || kept.metadata.correlationId === correlationId);
      if (wanted) events.push(this.recorded(kept));
    }
    return Promise.resolve({ events, next: Math.max(after, this.log.length) });
  }

  head(): Promise<LogHead> {
    return Promise.resolve({ position: this.log.length, epoch: this.epoch });
  }

  findResult({ principal, key }: IdempotencyKey): Promise<StoredResult | undefined> {
    const result = this.results.get(JSON.stringify([principal, key]));
    return Promise.resolve(result && { ...result });
  }

  check(): Promise<void> {
    return Promise.resolve();
  }

  private appendNow({ stream, expectedVersion, events, idempotency, mayAppend, claims = [], releases = [] }: AppendRequest<C>): AppendOutcome {
    if (mayAppend?.() === false) return { status: 'withdrawn' };
    const resultKey = idempotency && JSON.stringify([idempotency.principal, idempotency.key]);
    const earlier = resultKey === undefined ? undefined : this.results.get(resultKey);
    if (earlier !== undefined) return { status: 'duplicate', stored: { ...earlier } };
    const kept = this.streams.get(stream) ?? [];
    if (kept.length !== expectedVersion) return { status: 'conflict' };
    const taken = claims.find(({ scope, key }) => (this.holders.get(`${scope} ${key}`) ?? stream) !== stream);
    if (taken !== undefined) return { status: 'taken', key: { ...taken } };

    const now = new Date().toISOString();
    const before = this.log.at(-1)?.recordedAt ?? now;
    const recordedAt = now > before ? now : before;
    for (const { data, metadata } of events) {
      const event: Kept = {
        stream,
        version: kept.length + 1,
        position: this.log.length + 1,
        recordedAt,
        encoded: structuredClone(this.codec.encode(data)),
        metadata: { ...metadata },
      };
      this.log.push(event);
      kept.push(event);
    }
    if (events.length > 0) this.streams.set(stream, kept);
    if (resultKey !== undefined && idempotency !== undefined) {
      this.results.set(resultKey, { digest: idempotency.digest, response: idempotency.response.replaceAll('{position}', String(this.log.length)) });
    }
    for (const { scope, key } of releases) if (this.holders.get(`${scope} ${key}`) === stream) this.holders.delete(`${scope} ${key}`);
    for (const { scope, key } of claims) this.holders.set(`${scope} ${key}`, stream);
    this.signal.raise(this.context);
    return { status: 'appended', version: kept.length, position: this.log.length, recordedAt };
  }

  private recorded({ stream, version, position, recordedAt, encoded, metadata }: Kept): RecordedEvent<C> {
    return { context: this.context, stream, version, position, recordedAt, data: this.codec.decode<C>(structuredClone(encoded)), metadata: { ...metadata } };
  }
}
