import pg from 'pg';
import { eventCodec, upcasters } from '../src/application/log/codec.js';
import { MemoryLogSignal } from '../src/infrastructure/memory/memory-log-signal.js';
import { openDatabase, type Database } from '../src/infrastructure/postgres/connection/database.js';
import { PostgresEventStore } from '../src/infrastructure/postgres/log/postgres-event-store.js';
import { embedded, stock, type TestDatabase, type TestServer } from '../test/support/postgres.js';
import { appendOrder, perSecond, roundMs } from './append.js';
import { compare, type Comparison, type Measurement } from './figures.js';

const events = 1_000_000;
const warmUpMs = 500;

/** A log that is filled; what autovacuum would do is done when it is told to, and not before. */
class FullLog {
  private database: Database;

  private constructor(private readonly fresh: TestDatabase) {
    this.database = openDatabase(fresh.url, 'orders');
  }

  static async open(server: TestServer): Promise<FullLog> {
    const log = new FullLog(await server.freshDatabase());
    await log.owner('alter table orders.events set (autovacuum_enabled = off)');
    return log;
  }

  async owner(statement: string): Promise<void> {
    const client = new pg.Client({ connectionString: this.fresh.url });
    await client.connect();
    try {
      await client.query(statement);
    } finally {
      await client.end();
    }
  }

  fill(): Promise<void> {
    return this.owner(`begin;
      insert into orders.events (position, stream, version, type, schema_version, data, metadata, recorded_at)
        select h.position + n, 'order-filled-' || n, 1, 'OrderPlaced', 1, '{"orderId":"o","customerId":"c","customerName":"Customer 1","currency":"EUR","totalMinor":33590}',
          json_build_object('id', gen_random_uuid(), 'correlationId', gen_random_uuid()), now() from orders.head h, generate_series(1, ${events}) n;
      update orders.head set position = position + ${events};
      commit`);
  }

  /** Plans of before are forgotten with the sessions. */
  async reconnect(): Promise<void> {
    await this.database.close();
    this.database = openDatabase(this.fresh.url, 'orders');
  }

  async rate(prefix: string, ms: number): Promise<number> {
    const store = new PostgresEventStore(this.database, 'orders', eventCodec(upcasters), new MemoryLogSignal());
    return perSecond((stream) => appendOrder(store, stream), prefix, ms);
  }

  async close(): Promise<void> {
    await this.database.close();
    await this.fresh.drop();
  }
}

/** Appends to a log that is empty, then holds 1,000,000 events: on a stock server against the embedded one, where TEST_DATABASE_URL names it. */
export async function benchFullLog(rounds: number): Promise<(Comparison | Measurement)[]> {
  const logs = { ours: stock && await FullLog.open(stock), baseline: await FullLog.open(embedded) };
  const both = [logs.baseline, ...(logs.ours === undefined ? [] : [logs.ours])];
  const figures: (Comparison | Measurement)[] = [];
  const measure = async (state: string) => {
    const name = `append of 2 events, 64 in flight, to a log that ${state}`;
    const values = new Map(both.map((log) => [log, [] as number[]]));
    for (let round = -1; round < rounds; round++) {
      for (const log of both) {
        const rate = await log.rate(`${figures.length}-${round}`, round < 0 ? warmUpMs : roundMs);
        if (round >= 0) values.get(log)?.push(rate);
      }
    }
    const baseline = values.get(logs.baseline) ?? [];
    figures.push(logs.ours === undefined ? { name, unit: 'appends/s', values: baseline }
      : compare(`${name}, on a stock server against the embedded one`, 'appends/s', values.get(logs.ours) ?? [], baseline));
  };
  try {
    await measure('is empty, never analyzed');
    for (const log of both) await log.fill();
    await measure('holds 1,000,000 events, never analyzed, in sessions of when it was empty');
    for (const log of both) await log.reconnect();
    await measure('holds 1,000,000 events, never analyzed, in new sessions');
    for (const log of both) await log.owner('vacuum analyze');
    await measure('holds 1,000,000 events, analyzed');
    return figures;
  } finally {
    for (const log of both) await log.close();
  }
}
