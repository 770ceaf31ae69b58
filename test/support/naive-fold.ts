import { eventCodec, upcasters } from '../../src/application/log/codec.js';
import type { RecordedEvent } from '../../src/application/ports/event-store.js';
import { documentIdOf, foldAll } from '../../src/application/views/fold.js';
import { views } from '../../src/application/views/index.js';
import type { View } from '../../src/application/ports/view-store.js';
import type { Context } from '../../src/domain/events.js';
import { MemoryLogSignal } from '../../src/infrastructure/memory/memory-log-signal.js';
import { openDatabase } from '../../src/infrastructure/postgres/connection/database.js';
import { PostgresEventStore } from '../../src/infrastructure/postgres/log/postgres-event-store.js';
import { canonical } from '../../src/interfaces/schemas/canonical.js';
import { ask, askAll } from './service.js';

/** The whole log of a context, read past the service. */
export async function wholeLog(url: string, context: Context): Promise<RecordedEvent[]> {
  const database = openDatabase(url, context);
  try {
    return (await new PostgresEventStore(database, context, eventCodec(upcasters), new MemoryLogSignal()).readLog({ after: 0, limit: 1_000_000 })).events;
  } finally {
    await database.close();
  }
}

/** What a view must hold after these events, by id: each document folded from nothing, without feeds, stores or batches. */
export function naiveFold<D extends object>(view: View<D>, events: readonly RecordedEvent[]): Record<string, D> {
  const streams = new Map<string, RecordedEvent[]>();
  for (const event of events) {
    const id = documentIdOf(view, event);
    if (id !== undefined) streams.set(id, [...streams.get(id) ?? [], event]);
  }
  return Object.fromEntries([...streams].flatMap(([id, own]) => {
    const document = foldAll(view, id, own);
    return document === undefined ? [] : [[id, document]];
  }));
}

/** What differs between the views, as they are asked over HTTP, and a naive fold of the logs. */
export async function differencesFromLog(urls: Readonly<Record<Context, string>>, databases: Readonly<Record<Context, string>>): Promise<string[]> {
  const [customers, orders] = await Promise.all([wholeLog(databases.customers, 'customers'), wholeLog(databases.orders, 'orders')]);
  const expected = { orders: naiveFold(views.orders, orders), customers: naiveFold(views.customers, customers), history: naiveFold(views.customerHistory, [...customers, ...orders]) };
  const found = {
    orders: byId(await askAll(urls.orders, '/orders'), 'orderId'),
    customers: byId(await askAll(urls.customers, '/customers'), 'customerId'),
    history: byId(await histories(urls.customers, Object.keys(expected.history)), 'customerId'),
  };
  return (['orders', 'customers', 'history'] as const).flatMap((view) => {
    const text = (document: object | undefined) => (document === undefined ? 'nothing' : canonical(document));
    const [right, seen]: Record<string, object>[] = [expected[view], found[view]];
    return [...new Set([...Object.keys(right ?? {}), ...Object.keys(seen ?? {})])]
      .filter((id) => text(right?.[id]) !== text(seen?.[id])).map((id) => `${view} ${id}: ${text(seen?.[id])} instead of ${text(right?.[id])}`);
  });
}

async function histories(url: string, ids: readonly string[], atOnce = 20): Promise<{ customerId: string }[]> {
  const found: { customerId: string }[] = [];
  for (let from = 0; from < ids.length; from += atOnce) {
    found.push(...await Promise.all(ids.slice(from, from + atOnce).map(async (id) => (await ask(url, 'GET', `/customers/${id}/history`)).body as { customerId: string })));
  }
  return found;
}

function byId<D extends object>(documents: readonly D[], key: keyof D): Record<string, D> {
  return Object.fromEntries(documents.map((document) => [String(document[key]), document]));
}
