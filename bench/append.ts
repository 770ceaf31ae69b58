import pg from 'pg';
import { uuidIds } from '../src/infrastructure/process/uuid-ids.js';
import { eventCodec, upcasters } from '../src/application/log/codec.js';
import type { NewEvent } from '../src/application/ports/event-store.js';
import { MemoryLogSignal } from '../src/infrastructure/memory/memory-log-signal.js';
import { openDatabase } from '../src/infrastructure/postgres/connection/database.js';
import { PostgresEventStore } from '../src/infrastructure/postgres/log/postgres-event-store.js';
import { freshDatabase, type TestServer } from '../test/support/postgres.js';
import { compare, inTurn, type Comparison } from './figures.js';

const inFlight = 64;
export const roundMs = 3_000;

/** The events of an order that is placed and approved. */
function eventsOf(orderId: string): NewEvent<'orders'>[] {
  const at = new Date().toISOString();
  const metadata = () => ({ id: uuidIds.next(), correlationId: uuidIds.next(), causationId: null, principal: 'bench', commandId: uuidIds.next() });
  const lines = [
    { sku: 'sku-1', name: 'Oak chair, oiled', quantity: 2, unitPriceMinor: 12_900, discountMinor: 500 },
    { sku: 'sku-2', name: 'Linen cushion', quantity: 4, unitPriceMinor: 1_950 },
  ];
  return [
    { data: { type: 'OrderPlaced', orderId, customerId: 'c-1', customerName: 'Customer 1', currency: 'EUR', lines, shippingMinor: 490, subtotalMinor: 33_100, totalMinor: 33_590, at }, metadata: metadata() },
    { data: { type: 'OrderApproved', orderId, customerId: 'c-1', at }, metadata: metadata() },
  ];
}

/**
 * 64 appends of two events in flight in one process, against one named statement per append on a pool of 10, on the same server: on an identity column (no lock,
 * and so with holes that a reader passes over), or gapless as ours (a lock per append).
 */
export async function benchAppend(rounds: number, baseline: 'identity' | 'gapless', server: TestServer): Promise<Comparison> {
  const [mine, other] = [await server.freshDatabase(), await server.freshDatabase()];
  const database = openDatabase(mine.url, 'orders');
  const store = new PostgresEventStore(database, 'orders', eventCodec(upcasters), new MemoryLogSignal());
  const pool = new pg.Pool({ connectionString: other.url, max: 10 });
  await pool.query(`create table plain (position bigint generated always as identity primary key, stream text not null, version int not null, type text not null,
    schema_version int not null, data json not null, metadata json not null, recorded_at timestamptz not null default clock_timestamp(), unique (stream, version))`);
  await pool.query("create index on plain ((metadata ->> 'correlationId'))");
  await pool.query('create table head (position bigint not null)');
  await pool.query('insert into head values (0)');
  const events = 'unnest($3::text[], $4::text[], $5::text[]) with ordinality as e(type, data, metadata, n)';
  const statement = {
    name: 'append',
    text: baseline === 'identity'
      ? `insert into plain (stream, version, type, schema_version, data, metadata) select $1, $2 + e.n, e.type, 1, e.data::json, e.metadata::json from ${events}`
      : `with h as (update head set position = position + cardinality($3::text[]) returning position - cardinality($3::text[]) as before)
        insert into plain (position, stream, version, type, schema_version, data, metadata) overriding system value
        select h.before + e.n, $1, $2 + e.n, e.type, 1, e.data::json, e.metadata::json from h, ${events}`,
  };
  const codec = eventCodec(upcasters);
  const appends = {
    ours: (stream: string) => appendOrder(store, stream),
    async baseline(stream: string) {
      const events = eventsOf(stream).map(({ data, metadata }) => ({ ...codec.encode(data), metadata }));
      await pool.query({ ...statement, values: [stream, 0, events.map(({ type }) => type), events.map(({ data }) => JSON.stringify(data)), events.map(({ metadata }) => JSON.stringify(metadata))] });
    },
  };
  try {
    const figures = { ours: [] as number[], baseline: [] as number[] };
    for (let round = -1; round < rounds; round++) {
      for (const side of ['baseline', 'ours'] as const) {
        const rate = await perSecond(appends[side], `${side}-${round}`, round < 0 ? 500 : roundMs);
        if (round >= 0) figures[side].push(rate);
      }
    }
    const { position } = await store.head();
    const { rows: [own] } = await database.statements.query<{ n: number }>('select count(*) as n from events');
    if (own?.n !== position) throw new Error('there is a hole in the positions');
    return compare(`append of 2 events, 64 in flight, gapless, against one statement per append, ${baseline === 'identity' ? 'with holes (identity column)' : 'gapless (a lock per append)'}, on ${server.name}`, 'appends/s', figures.ours, figures.baseline);
  } finally {
    await pool.end();
    await database.close();
    await mine.drop();
    await other.drop();
  }
}

/** Streams of 100 events, through the port against the bare SELECT on the same pool. */
export async function benchStreamRead(rounds: number): Promise<Comparison> {
  const mine = await freshDatabase();
  const database = openDatabase(mine.url, 'orders');
  const store = new PostgresEventStore(database, 'orders', eventCodec(upcasters), new MemoryLogSignal());
  try {
    for (let stream = 0; stream < 50; stream++) {
      const events = Array.from({ length: 50 }, () => eventsOf(`o-${stream}`)).flat();
      await store.append({ stream: `order-${stream}`, expectedVersion: 0, events });
    }
    const bare = { name: 'bare', text: 'select version, position, stream, type, schema_version, data, metadata, recorded_at from events where stream = $1 order by version' };
    const stream = (n: number) => `order-${n % 50}`;
    const figures = await inTurn(rounds, 2_000, {
      ours: (n) => store.readStream(stream(n)),
      baseline: (n) => database.statements.query({ ...bare, values: [stream(n)] }),
    });
    return compare('read a stream of 100 events, against the bare SELECT', 'streams/s', figures.ours, figures.baseline);
  } finally {
    await database.close();
    await mine.drop();
  }
}

export async function appendOrder(store: PostgresEventStore<'orders'>, stream: string): Promise<void> {
  const { status } = await store.append({ stream, expectedVersion: 0, events: eventsOf(stream) });
  if (status !== 'appended') throw new Error(`an append was answered with ${status}`);
}

/** Appends to new streams, 64 in flight. */
export async function perSecond(append: (stream: string) => Promise<void>, prefix: string, ms: number): Promise<number> {
  let count = 0;
  const began = performance.now();
  await Promise.all(Array.from({ length: inFlight }, async (_, lane) => {
    for (let n = 0; performance.now() - began < ms; n++) {
      await append(`order-${prefix}-${lane}-${n}`);
      count++;
    }
  }));
  return count * 1_000 / (performance.now() - began);
}
