import type { QueryConfig } from 'pg';
import type { EventCodec } from '../../../application/log/codec.js';
import type {
  AppendOutcome, AppendRequest, EventStore, IdempotencyKey, LogHead, LogPage, LogQuery, Metadata, RecordedEvent, StoredResult,
} from '../../../application/ports/event-store.js';
import type { LogSignal } from '../../../application/ports/log-signal.js';
import type { Context } from '../../../domain/events.js';
import { AppendQueue, type AppendLimits } from './append-queue.js';
import type { Database } from '../connection/database.js';
import { refusingOutages } from '../connection/outage.js';

const columns = 'version, position, stream, type, schema_version, data, metadata, recorded_at';
type Row = [
  version: number,
  position: number,
  stream: string,
  type: string,
  schemaVersion: number,
  data: Record<string, unknown>,
  metadata: Metadata,
  recordedAt: string,
];

/** The log of a context in PostgreSQL. */
export class PostgresEventStore<C extends Context> implements EventStore<C> {
  private readonly appends: AppendQueue<C>;

  constructor(
    private readonly database: Database,
    private readonly context: C,
    private readonly codec: EventCodec,
    signal: LogSignal,
    limits: Partial<AppendLimits> = {},
  ) {
    this.appends = new AppendQueue(database, codec, () => { signal.raise(context); }, { patienceMs: 4_000, queue: 10_000, ...limits });
  }

  get interruptions(): number {
    return this.database.interruptions;
  }

  append(request: AppendRequest<C>): Promise<AppendOutcome> {
    return this.appends.append(request);
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
    // Read before the events: those that the filter leaves out are skipped only up to this position.
    const head = filtered ? (await this.head()).position : undefined;
    const values: unknown[] = [after, limit];
    // The addition keeps the planner from the index of positions, by which it would go through the whole log: that of correlation ids is to be used.
    const position = correlationId === undefined ? 'position' : '(position + 0)';
    const where = [`${position} > $1`];
    const and = (condition: string, value: unknown) => { where.push(condition.replace('?', `$${values.push(value)}`)); };
    if (head !== undefined) and(`${position} <= ?`, head);
    if (types !== undefined) and('type = any(?)', types);
    if (stream !== undefined) and('stream = ?', stream);
    if (correlationId !== undefined) and("metadata ->> 'correlationId' = ?", correlationId);
    const rows = await this.read({
      ...(!filtered && { name: 'read-log' }),
      text: `select ${columns} from events where ${where.join(' and ')} order by ${position} limit $2`,
      values,
    });
    const events = rows.map((row) => this.decode(row));
    const last = events.at(-1)?.position ?? after;
    return { events, next: events.length < limit && head !== undefined ? Math.max(head, last) : last };
  }

  async head(): Promise<LogHead> {
    const { rows } = await refusingOutages('log.unavailable', () =>
      this.database.statements.query<LogHead>({ name: 'head', text: 'select position, epoch from head' }));
    const [head] = rows;
    if (head === undefined) throw new Error(`the log of ${this.context} has no head row`);
    return head;
  }

  async findResult({ principal, key }: IdempotencyKey): Promise<StoredResult | undefined> {
    const { rows } = await refusingOutages('log.unavailable', () => this.database.statements.query<StoredResult>(
      { name: 'find-result', text: 'select digest, response from idempotency where principal = $1 and key = $2', values: [principal, key] }));
    return rows[0];
  }

  async check(): Promise<void> {
    await this.head();
    if (this.appends.trouble === undefined) return;
    // Tests for disk space with a row that is larger than what is left in any page.
    await refusingOutages('log.unavailable', async () => {
      const client = await this.database.appends.connect();
      try {
        await client.query('begin');
        await client.query(`insert into events (position, stream, version, type, schema_version, data, metadata, recorded_at)
          select 0, '', 0, '', 0, to_json(string_agg(md5(random()::text), '')), '{}', now() from generate_series(1, 512)`);
        await client.query('rollback');
        client.release();
      } catch (error) {
        client.release(true);
        throw error;
      }
    });
    this.appends.trouble = undefined;
  }

  private async read(query: QueryConfig): Promise<Row[]> {
    const { rows } = await refusingOutages('log.unavailable', () => this.database.statements.query<Row>({ ...query, rowMode: 'array' }));
    return rows;
  }

  private decode([version, position, stream, type, schemaVersion, data, metadata, recordedAt]: Row): RecordedEvent<C> {
    return { context: this.context, stream, version, position, recordedAt, data: this.codec.decode<C>({ type, schemaVersion, data }), metadata };
  }
}
