import { customers } from '../src/application/customers/customer-commands.js';
import { createExecute } from '../src/application/commands/execute.js';
import type { SnapshotStore } from '../src/application/ports/snapshot-store.js';
import { createStreamStates } from '../src/application/commands/stream-states.js';
import { customer, type CustomerEvent } from '../src/domain/customers/customer.js';
import { MemoryLogSignal } from '../src/infrastructure/memory/memory-log-signal.js';
import { openDatabase } from '../src/infrastructure/postgres/connection/database.js';
import { PostgresEventStore } from '../src/infrastructure/postgres/log/postgres-event-store.js';
import { PostgresSnapshotStore } from '../src/infrastructure/postgres/log/postgres-snapshot-store.js';
import { uuidIds } from '../src/infrastructure/process/uuid-ids.js';
import { freshDatabase } from '../test/support/postgres.js';
import { compare, inTurn, type Comparison, type Measurement } from './figures.js';
import { codec } from './history.js';

const [many, few] = [100_000, 100];
const at = '2026-01-01T00:00:00.000Z';
const logger = { info: () => undefined, warn: () => undefined, error: () => undefined };
type Log = PostgresEventStore<'customers'>;

/** Credit reserved and released for a customer who has 100,000 open orders, against one who has 100: the whole command, on PostgreSQL. */
export function benchReservations(rounds: number): Promise<Comparison> {
  return withCustomers(async (log, snapshots) => {
    const execute = createExecute({ stores: { customers: log }, snapshots: { customers: snapshots }, ids: uuidIds, logger, partitions: 12 });
    const request = () => ({ principal: 'bench', correlationId: uuidIds.next(), causationId: null, at: new Date() });
    const once = (customerId: string) => async (n: number) => {
      await execute(customers, customerId, { type: 'ReserveCredit', customerId, orderId: `new-${n}`, amountMinor: 1 }, request());
      await execute(customers, customerId, { type: 'ReleaseCredit', customerId, orderId: `new-${n}` }, request());
    };
    const { ours, baseline } = await inTurn(rounds, 1_500, { ours: once(idOf(many)), baseline: once(idOf(few)) });
    const [reservations, usual] = [ours, baseline].map((pairs) => pairs.map((value) => value * 2));
    return compare(`reserve and release credit with ${many.toLocaleString('en')} open orders, against ${few}`, 'commands/s', reservations ?? [], usual ?? []);
  });
}

/** A process that has not seen that customer yet. */
export function benchReservationLoads(rounds: number): Promise<Measurement[]> {
  return withCustomers(async (log, snapshots) => {
    const stream = customers.stream(idOf(many));
    const nothing = { load: () => Promise.resolve(undefined), save: () => Promise.resolve() };
    const load = async (from: SnapshotStore) => {
      const began = performance.now();
      const loaded = await createStreamStates({ snapshots: { customers: from }, logger }).load(customers, log, stream);
      if (customers.snapshot.entries(loaded.state) !== many) throw new Error(`${customers.snapshot.entries(loaded.state)} orders are open`);
      return { loaded, seconds: (performance.now() - began) / 1_000 };
    };
    const { loaded: { state, version, position, at: last } } = await load(nothing);
    await snapshots.save({ stream, version, position, at: last, revision: customers.revision, state: customers.snapshot.write(state) });
    const values: Record<'events' | 'snapshot', number[]> = { events: [], snapshot: [] };
    for (let round = 0; round < rounds; round++) {
      values.events.push((await load(nothing)).seconds);
      values.snapshot.push((await load(snapshots)).seconds);
    }
    return (['events', 'snapshot'] as const).map((from) => ({ name: `load a customer with ${many.toLocaleString('en')} open orders from ${from === 'events' ? 'the events' : 'a snapshot'}`, unit: 's', values: values[from] }));
  });
}

async function withCustomers<T>(work: (log: Log, snapshots: SnapshotStore) => Promise<T>): Promise<T> {
  const fresh = await freshDatabase();
  const database = openDatabase(fresh.url, 'customers');
  try {
    const log = new PostgresEventStore(database, 'customers', codec, new MemoryLogSignal());
    for (const size of [few, many]) await open(log, idOf(size), size);
    return await work(log, new PostgresSnapshotStore(database));
  } finally {
    await database.close();
    await fresh.drop();
  }
}

function idOf(size: number): string {
  return `with-${size}`;
}

async function open(log: Log, customerId: string, orders: number): Promise<void> {
  const registered = customer.decide({ type: 'RegisterCustomer', customerId, name: 'Walk-in', currency: 'EUR', creditLimitMinor: null }, customer.initial, new Date(at));
  const events: CustomerEvent[] = [...registered, ...Array.from({ length: orders }, (_, n): CustomerEvent => ({ type: 'CreditReserved', customerId, orderId: `order-${n}`, amountMinor: 100, at }))];
  const metadata = () => ({ id: uuidIds.next(), correlationId: 'bench', causationId: null, principal: 'bench', commandId: uuidIds.next() });
  for (let from = 0; from < events.length; from += 5_000) {
    const page = events.slice(from, from + 5_000).map((data) => ({ data, metadata: metadata() }));
    await log.append({ stream: customers.stream(customerId), expectedVersion: from, events: page });
  }
}
