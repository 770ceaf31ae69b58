import { createCustomerCommands } from '../../src/application/customers/customer-commands.js';
import { eventCodec, upcasters } from '../../src/application/log/codec.js';
import { createExecute, type Request } from '../../src/application/commands/execute.js';
import { createOrderCommands } from '../../src/application/orders/order-commands.js';
import { decideOrder, holdOrReleaseCredit, runPolicy } from '../../src/application/policies/index.js';
import { views } from '../../src/application/views/index.js';
import { runProjector } from '../../src/application/views/projector.js';
import { LogFeed } from '../../src/application/log/log-feed.js';
import { MemoryCheckpointStore } from '../../src/infrastructure/memory/memory-checkpoint-store.js';
import { MemoryEventStore } from '../../src/infrastructure/memory/memory-event-store.js';
import { MemoryLogSignal } from '../../src/infrastructure/memory/memory-log-signal.js';
import { MemorySnapshotStore } from '../../src/infrastructure/memory/memory-snapshot-store.js';
import { MemoryViewStore } from '../../src/infrastructure/memory/memory-view-store.js';
import { uuidIds } from '../../src/infrastructure/process/uuid-ids.js';
import { clock, partitions, quiet } from './events.js';

/** The application on memory adapters, with several "processes" over the same log when asked for. */
export function memoryApplication() {
  const codec = eventCodec(upcasters);
  const signal = new MemoryLogSignal();
  const stores = { customers: new MemoryEventStore('customers', codec, signal), orders: new MemoryEventStore('orders', codec, signal) };
  const snapshots = { customers: new MemorySnapshotStore(), orders: new MemorySnapshotStore() };
  const checkpoints = { customers: new MemoryCheckpointStore(), orders: new MemoryCheckpointStore() };
  const copy = new MemoryViewStore(views.orderCustomers);
  const feed = new LogFeed(stores, signal, partitions);

  /** One process: its own cache and queues. */
  function process() {
    const execute = createExecute({ stores, snapshots, ids: uuidIds, logger: quiet, partitions });
    return { execute, customers: createCustomerCommands(execute), orders: createOrderCommands(execute, copy) };
  }
  const first = process();

  /** Runs the saga and the orders service's copy of the customers until `stop`. */
  const run = (stop: AbortSignal) => Promise.all([
    runProjector(views.orderCustomers, { store: copy, feed, stores, clock, logger: quiet }, stop),
    runPolicy(holdOrReleaseCredit, { feed, checkpoints: checkpoints.customers, handle: first.customers, logger: quiet }, stop),
    runPolicy(decideOrder, { feed, checkpoints: checkpoints.orders, handle: first.orders, logger: quiet }, stop),
  ]);

  return { ...first, process, run, stores, snapshots, checkpoints, copy, feed };
}

export function request(rest: Partial<Request> = {}): Request {
  return { principal: 'test', correlationId: uuidIds.next(), causationId: null, at: new Date('2026-02-03T04:05:06.000Z'), ...rest };
}
