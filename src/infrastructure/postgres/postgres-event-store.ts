import type { PoolClient, QueryConfig } from 'pg';
import type { EventCodec } from '../../application/event-codec.js';
import type {
  AppendOutcome, AppendRequest, EventStore, IdempotencyKey, LogHead, LogPage, LogQuery, Metadata, RecordedEvent, StoredResult,
} from '../../application/ports/event-store.js';
import type { LogSignal } from '../../application/ports/log-signal.js';
import type { Context } from '../../domain/events.js';
import { Rejection } from '../../domain/shared/rejection.js';
import { encodeBatch, type OutcomeRow } from './append-batch.js';
import { isOutage, refusingOutages, type Database } from './database.js';

interface Pending<C extends Context> {
  request: AppendRequest<C>;
  /** `performance.now()` after which the caller is told that the log is away. */
  deadline: number;
  resolve(outcome: AppendOutcome): void;
  reject(error: unknown): void;
}

interface Limits {
  /** How long a command waits for a server that is away. */
  unavailableAfterMs: number;
  queue: number;
}

const connections = 2;
const smallestBatch = 16;
const largestBatch = 256;
const retryMs = 100;
/** After this an append is in doubt: what became of it is looked up. */
const patience = { query_timeout: 5_000 };

const columns = 'version, position, stream, type, schema_version, data, metadata, recorded_at';
type Row = [version: number, position: number, stream: string, type: string, schemaVersion: number, data: Record<string, unknown>, metadata: Metadata, recordedAt: string];

/** The log of a context in PostgreSQL. Appends of a process are gathered into batches: the lock and the commit are paid once for all of them. */
export class PostgresEventStore<C extends Context> implements EventStore<C> {
  private queue: Pending<C>[] = [];
  private committing = 0;
  private scheduled = false;
  private readonly limits: Limits;

  constructor(
    private readonly database: Database,
    private readonly context: C,
    private readonly codec: EventCodec,
    private readonly signal: LogSignal,
    limits: Partial<Limits> = {},
  ) {
    this.limits = { unavailableAfterMs: 5_000, queue: 10_000, ...limits };
  }

  append(request: AppendRequest<C>): Promise<AppendOutcome> {
    if (this.queue.length >= this.limits.queue) return Promise.reject(new Rejection('log.unavailable', { reason: 'too many appends are waiting', outcome: 'not-stored' }));
    return new Promise((resolve, reject) => {
      this.queue.push({ request, deadline: performance.now() + this.limits.unavailableAfterMs, resolve, reject });
      this.schedule();
    });
  }

  async readStream(stream: string, { after = 0, to = 2_147_483_647 }: { after?: number; to?: number } = {}): Promise<RecordedEvent<C>[]> {
    const rows = await this.read({
      name: 'read-stream',
      text: `select ${columns} from events where stream = $1 and version > $2 and version <= $3 order by version`,
      values: [stream, after, to],
    });
    return rows.map((row) => this.decode(row));
  }

  async readLog({ after, limit, types, stream, correlationId }: LogQuery): Promise<LogPage<C>> {
    const filtered = types !== undefined || stream !== undefined || correlationId !== undefined;
    // Read first: what a filter hides is passed over only up to here.
    const head = filtered ? (await this.head()).position : undefined;
    const values: unknown[] = [after, limit];
    const where = ['position > $1'];
    const and = (condition: string, value: unknown) => { where.push(condition.replace('?', `$${values.push(value)}`)); };
    if (head !== undefined) and('position <= ?', head);
    if (types !== undefined) and('type = any(?)', types);
    if (stream !== undefined) and('stream = ?', stream);
    if (correlationId !== undefined) and("metadata ->> 'correlationId' = ?", correlationId);
    const rows = await this.read({
      ...(!filtered && { name: 'read-log' }),
      text: `select ${columns} from events where ${where.join(' and ')} order by position limit $2`,
      values,
    });
    const events = rows.map((row) => this.decode(row));
    const last = events.at(-1)?.position ?? after;
    return { events, next: events.length < limit && head !== undefined ? Math.max(head, last) : last };
  }

  async head(): Promise<LogHead> {
    const { rows } = await refusingOutages('log.unavailable', () =>
      this.database.reads.query<LogHead>({ name: 'head', text: 'select position, epoch from head' }));
    const [head] = rows;
    if (head === undefined) throw new Error(`the log of ${this.context} has no head row`);
    return head;
  }

  async findResult({ principal, key }: IdempotencyKey): Promise<StoredResult | undefined> {
    const { rows } = await refusingOutages('log.unavailable', () => this.database.reads.query<StoredResult>(
      { name: 'find-result', text: 'select digest, response from idempotency where principal = $1 and key = $2', values: [principal, key] }));
    return rows[0];
  }

  private async read(query: QueryConfig): Promise<Row[]> {
    const { rows } = await refusingOutages('log.unavailable', () => this.database.reads.query<Row>({ ...query, rowMode: 'array' }));
    return rows;
  }

  private decode([version, position, stream, type, schemaVersion, data, metadata, recordedAt]: Row): RecordedEvent<C> {
    return { context: this.context, stream, version, position, recordedAt, data: this.codec.decode<C>({ type, schemaVersion, data }), metadata };
  }

  // On setImmediate, never on a timer: what arrived in this turn of the loop goes together, and nobody waits for more.
  private schedule(): void {
    if (this.scheduled || this.committing >= connections) return;
    this.scheduled = true;
    setImmediate(() => {
      this.scheduled = false;
      while (this.committing < connections) {
        const batch = this.takeBatch();
        if (batch.length === 0) return;
        this.committing++;
        void this.commit(batch).finally(() => {
          this.committing--;
          this.schedule();
        });
      }
    });
  }

  /** The longest waiting appends, a stream, an idempotency key and a unique key at most once; what collides waits, and its stream with it. */
  private takeBatch(): Pending<C>[] {
    const size = Math.min(Math.max(Math.ceil(this.queue.length / (connections - this.committing)), smallestBatch), largestBatch);
    const batch: Pending<C>[] = [];
    const waiting: Pending<C>[] = [];
    const used = new Set<string>();
    for (const pending of this.queue) {
      const names = namesOf(pending.request);
      if (batch.length < size && !names.some((name) => used.has(name))) batch.push(pending);
      else waiting.push(pending);
      for (const name of names) used.add(name);
    }
    this.queue = waiting;
    return batch;
  }

  private async commit(batch: Pending<C>[]): Promise<void> {
    let client: PoolClient;
    try {
      client = await this.database.writes.connect();
    } catch (error) {
      await this.waitForServer(batch, error);
      return;
    }
    try {
      const { rows } = await client.query<OutcomeRow>({ ...encodeBatch(batch.map(({ request }) => request), this.codec), rowMode: 'array', ...patience });
      client.release();
      settle(batch, rows);
      this.signal.raise(this.context);
    } catch (error) {
      client.release(true);
      if (isOutage(error)) await this.resolveDoubt(batch, error);
      else if (batch.length > 1) for (const one of batch) await this.commit([one]);
      else batch[0]?.reject(error);
    }
  }

  /** Nothing of the batch was sent: it goes back into the queue until its time is over. */
  private async waitForServer(batch: readonly Pending<C>[], error: unknown): Promise<void> {
    if (!isOutage(error)) {
      for (const pending of batch) pending.reject(error);
      return;
    }
    this.queue = [...batch, ...this.queue];
    const now = performance.now();
    const expired = this.queue.filter(({ deadline }) => deadline <= now);
    this.queue = this.queue.filter(({ deadline }) => deadline > now);
    for (const { reject } of expired) reject(new Rejection('log.unavailable', { reason: 'the database cannot be reached', outcome: 'not-stored' }));
    await new Promise((resolve) => setTimeout(resolve, retryMs));
  }

  /**
   * The connection was lost before the answer came: the batch may be stored or not. It is looked up under the head's lock, which a transaction that
   * is still running would hold, and only what is certainly not stored goes back into the queue.
   */
  private async resolveDoubt(batch: Pending<C>[], cause: unknown): Promise<void> {
    let open = batch;
    for (;;) {
      try {
        const stored = await this.lookUp(open);
        const missing = open.filter((pending, index) => {
          const outcome = stored.get(index + 1);
          if (outcome !== undefined) pending.resolve(outcome);
          return outcome === undefined;
        });
        if (stored.size > 0) this.signal.raise(this.context);
        this.queue = [...missing, ...this.queue];
        return;
      } catch (error) {
        if (!isOutage(error)) {
          for (const { reject } of open) reject(error);
          return;
        }
      }
      const now = performance.now();
      for (const { deadline, reject } of open) {
        if (deadline <= now) reject(new Rejection('log.unavailable', { reason: `the database went away during the command (${String(cause)})`, outcome: 'unknown' }));
      }
      open = open.filter(({ deadline }) => deadline > now);
      if (open.length === 0) return;
      await new Promise((resolve) => setTimeout(resolve, retryMs));
    }
  }

  /** By ord from 1. An append without events is not looked for: repeated, its idempotency key answers. */
  private async lookUp(batch: readonly Pending<C>[]): Promise<Map<number, AppendOutcome>> {
    const client = await this.database.writes.connect();
    try {
      await client.query('begin');
      await client.query('select from head for update');
      const { rows } = await client.query<[ord: number, position: number, recordedAt: string]>({
        text: `select i.ord, e.position, e.recorded_at from unnest($1::text[], $2::int[], $3::text[]) with ordinality as i(stream, version, id, ord)
          join events e on e.stream = i.stream and e.version = i.version and e.metadata ->> 'id' = i.id`,
        values: [
          batch.map(({ request }) => request.stream),
          batch.map(({ request }) => request.expectedVersion + 1),
          batch.map(({ request }) => request.events[0]?.metadata.id ?? null),
        ],
        rowMode: 'array',
      });
      await client.query('rollback');
      client.release();
      return new Map(rows.map(([ord, position, recordedAt]) => {
        const { expectedVersion = 0, events = [] } = batch[ord - 1]?.request ?? {};
        return [ord, { status: 'appended', version: expectedVersion + events.length, position: position + events.length - 1, recordedAt }];
      }));
    } catch (error) {
      client.release(true);
      throw error;
    }
  }
}

function namesOf({ stream, idempotency, claims = [], releases = [] }: AppendRequest): string[] {
  const names = [`stream ${stream}`];
  if (idempotency !== undefined) names.push(`key ${idempotency.principal} ${idempotency.key}`);
  for (const { scope, key } of [...claims, ...releases]) names.push(`unique ${scope} ${key}`);
  return names;
}

function settle<C extends Context>(batch: readonly Pending<C>[], rows: readonly OutcomeRow[]): void {
  const outcomes = new Map(rows.map((row) => [row[0], row]));
  batch.forEach(({ request, resolve }, index) => {
    const [, status, position, recordedAt, first, second] = outcomes.get(index + 1) ?? [];
    if (status === 'appended') resolve({ status, version: request.expectedVersion + request.events.length, position: position ?? 0, recordedAt: recordedAt ?? '' });
    else if (status === 'duplicate') resolve({ status, stored: { digest: first ?? '', response: second ?? '' } });
    else if (status === 'taken') resolve({ status, key: { scope: first ?? '', key: second ?? '' } });
    else resolve({ status: 'conflict' });
  });
}
