import type { EventFeed, Subscription } from '../src/application/ports/event-feed.js';
import type { EventStores } from '../src/application/ports/event-store.js';
import { orders } from '../src/application/views/index.js';
import { runProjector } from '../src/application/views/projector.js';
import { LogFeed } from '../src/application/log/log-feed.js';
import { MemoryEventStore } from '../src/infrastructure/memory/memory-event-store.js';
import { MemoryLogSignal } from '../src/infrastructure/memory/memory-log-signal.js';
import { MemoryViewStores } from '../src/infrastructure/memory/memory-view-store.js';
import { openDatabase } from '../src/infrastructure/postgres/connection/database.js';
import { PostgresEventStore } from '../src/infrastructure/postgres/log/postgres-event-store.js';
import { PostgresViewStores } from '../src/infrastructure/postgres/views/postgres-view-store.js';
import { freshDatabase } from '../test/support/postgres.js';
import { codec, fill } from './history.js';
import { compare, inTurn, type Comparison, type Measurement } from './figures.js';

const partitions = 12;
const clock = { now: () => new Date() };
const logger = { info: () => undefined, warn: () => undefined, error: () => undefined };
/** A backlog in the log, folded into the `orders` view on PostgreSQL, from nothing. */
export async function benchFold(rounds: number, events = 60_000): Promise<Measurement> {
  const database = await freshDatabase();
  const databases = { orders: openDatabase(database.url, 'orders'), views: openDatabase(database.url, 'views') };
  const signal = new MemoryLogSignal();
  const log = new PostgresEventStore(databases.orders, 'orders', codec, signal, { queue: Infinity });
  const stores: EventStores = { orders: log, customers: new MemoryEventStore('customers', codec, signal) };
  try {
    await fill(log, events);
    const values: number[] = [];
    const feed = new LogFeed(stores, signal, partitions);
    for (let round = -1; round < rounds; round++) {
      const store = await new PostgresViewStores(() => databases.views).open({ ...orders, revision: round + 100 });
      const began = performance.now();
      await until(feed, events, (endsAt) => runProjector(orders, { store, feed: endsAt.feed, stores, clock, logger }, endsAt.stop));
      if (round >= 0) values.push(events * 1_000 / (performance.now() - began));
      const { total } = await store.find({ where: [{ field: 'status', in: ['shipped'] }], sort: { field: 'placedAt', descending: false }, limit: 1, countUpTo: Infinity });
      if (total !== events / 4) throw new Error(`the view has ${total} shipped orders instead of ${events / 4}`);
    }
    return { name: `fold ${events.toLocaleString('en')} events from the log into the \`orders\` view on PostgreSQL`, unit: 'events/s', values };
  } finally {
    await databases.orders.close();
    await databases.views.close();
    await database.drop();
  }
}

/** A page of a customer's orders with its total, through the port against the bare SQL for both on the same pool. */
export async function benchList(rounds: number, events = 60_000): Promise<Comparison> {
  const database = await freshDatabase();
  const views = openDatabase(database.url, 'views');
  const signal = new MemoryLogSignal();
  const stores: EventStores = { orders: new MemoryEventStore('orders', codec, signal), customers: new MemoryEventStore('customers', codec, signal) };
  try {
    await fill(stores.orders, events);
    const store = await new PostgresViewStores(() => views).open(orders);
    const feed = new LogFeed(stores, signal, partitions);
    await until(feed, events, (endsAt) => runProjector(orders, { store, feed: endsAt.feed, stores, clock, logger }, endsAt.stop));
    await views.appends.query('analyze');
    const bare = {
      name: 'bare', text: `select id, document, count(*) over () as total from orders_r1_keys k join orders_r1 d using (id)
        where not k.deleted and "f_customerId" = $1 and f_status = $2 order by "f_placedAt" desc, id desc limit 20`,
    };
    const customer = (n: number) => `c-${n % 997}`;
    const figures = await inTurn(rounds, 2_000, {
      ours: (n) => store.find({ where: [{ field: 'customerId', in: [customer(n)] }, { field: 'status', in: ['shipped'] }], sort: { field: 'placedAt', descending: true }, limit: 20 }),
      baseline: (n) => views.statements.query({ ...bare, values: [customer(n), 'shipped'] }),
    });
    return compare('a page of a customer\'s orders with its total, against its bare SQL', 'queries/s', figures.ours, figures.baseline);
  } finally {
    await views.close();
    await database.drop();
  }
}

/** One million events folded into the `orders` view in memory: time, and what the 250,000 documents take. */
export async function benchMemory(events = 1_000_000): Promise<Measurement> {
  const signal = new MemoryLogSignal();
  const stores: EventStores = { orders: new MemoryEventStore('orders', codec, signal), customers: new MemoryEventStore('customers', codec, signal) };
  await fill(stores.orders, events);
  const store = await new MemoryViewStores().open(orders);
  const feed = new LogFeed(stores, signal, partitions);
  globalThis.gc?.();
  const before = process.memoryUsage().heapUsed;
  const began = performance.now();
  await until(feed, events, (endsAt) => runProjector(orders, { store, feed: endsAt.feed, stores, clock, logger }, endsAt.stop));
  const seconds = (performance.now() - began) / 1_000;
  globalThis.gc?.();
  const megabytes = (process.memoryUsage().heapUsed - before) / 2 ** 20;
  return { name: `fold ${events.toLocaleString('en')} events into the \`orders\` view in memory (${seconds.toFixed(1)} s, ${Math.round(megabytes)} MiB for ${(events / 4).toLocaleString('en')} documents)`, unit: 'events/s', values: [events / seconds] };
}

/** Runs a subscriber until it has had `events` events. */
async function until(feed: EventFeed, events: number, work: (endsAt: { feed: EventFeed; stop: AbortSignal }) => Promise<void>): Promise<void> {
  const stop = new AbortController();
  let seen = 0;
  const counting: EventFeed = {
    shared: false,
    run: (subscription: Subscription, signal) => feed.run({
      ...subscription,
      async onBatch(batch) {
        await subscription.onBatch(batch);
        seen += batch.events.length;
        if (seen >= events) stop.abort();
      },
    }, signal),
  };
  await work({ feed: counting, stop: stop.signal });
}

