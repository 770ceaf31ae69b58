import { setMaxListeners } from 'node:events';
import { supervise, type WorkerStatus } from '../../application/concurrency/supervisor.js';
import { runCommandWorker } from '../../application/commands/command-worker.js';
import type { CommandOutcome, Request } from '../../application/commands/execute.js';
import type { CustomerCommands } from '../../application/customers/customer-commands.js';
import type { BehindLog } from '../../application/log/behind-log.js';
import type { OrderCommandRequest, OrderCommands } from '../../application/orders/order-commands.js';
import { decideOrder, holdOrReleaseCredit, runPolicy } from '../../application/policies/index.js';
import type { Policy } from '../../application/policies/policy.js';
import type { CheckpointStore } from '../../application/ports/checkpoint-store.js';
import type { Clock } from '../../application/ports/clock.js';
import type { CommandQueues, NewCommand, Seen } from '../../application/ports/command-queue.js';
import type { EventFeed } from '../../application/ports/event-feed.js';
import type { EventStores } from '../../application/ports/event-store.js';
import type { Leadership } from '../../application/ports/leadership.js';
import type { Logger } from '../../application/ports/logger.js';
import type { Tracer } from '../../application/ports/tracer.js';
import { runProjector } from '../../application/views/projector.js';
import type { CustomerCommand } from '../../domain/customers/customer.js';
import type { Context } from '../../domain/events.js';
import type { Role } from '../process/config.js';
import type { Relays } from './relays.js';
import type { ServedView } from './views.js';

/** Something that goes on beside the requests. */
export interface Worker {
  name: string;
  role: Role;
  context: Context;
  /** Every process that runs it takes its share; otherwise one does it, and the others stand by. */
  shared: boolean;
  work: (stop: AbortSignal) => Promise<void>;
}

interface Parts {
  contexts: readonly Context[];
  stores: Partial<EventStores>;
  checkpoints: Partial<Record<Context, CheckpointStore>>;
  commandQueues: Partial<CommandQueues>;
  feed: EventFeed;
  views: readonly ServedView[];
  /** For one subscriber each. */
  behindLog: () => BehindLog;
  relays: Relays | undefined;
  customerCommands: CustomerCommands | undefined;
  orderCommands: OrderCommands | undefined;
  clock: Clock;
  logger: Logger;
  tracer: Tracer;
}

/** All workers of the contexts that a process serves, whatever its roles. */
export function workersOf(parts: Parts): Worker[] {
  const { contexts, stores, checkpoints, commandQueues, feed, views, behindLog, relays, customerCommands, orderCommands, ...tools } = parts;
  return [
    ...views.map(({ view, store }): Worker => ({
      name: `projector ${view.name}`, role: 'projector', context: view.servedBy, shared: feed.shared,
      work: (stop) => runProjector(view, { store, feed, stores, behindLog: behindLog(), ...tools }, stop),
    })),
    policy(holdOrReleaseCredit, customerCommands),
    policy(decideOrder, orderCommands),
    commands('customers', customerCommands && ((command, request) => customerCommands(command as CustomerCommand, request))),
    commands('orders', orderCommands && ((command, request, seen) => orderCommands(command as OrderCommandRequest, request, seen))),
    ...contexts.map(relay),
  ].filter((worker) => worker !== undefined);

  function policy<From extends Context, Command>(
    one: Policy<From, Command>, handle: ((command: Command, request: Request) => Promise<CommandOutcome>) | undefined,
  ): Worker | undefined {
    const own = checkpoints[one.to];
    if (own === undefined || handle === undefined) return undefined;
    const work = (stop: AbortSignal) => runPolicy(one, { feed, checkpoints: own, handle, ...tools }, stop);
    return { name: `policy ${one.name}`, role: 'policies', context: one.to, shared: feed.shared, work };
  }

  function commands(
    context: Context, handle: ((command: NewCommand['command'], request: Request, seen?: Seen) => Promise<CommandOutcome>) | undefined,
  ): Worker | undefined {
    const [queue, store] = [commandQueues[context], stores[context]];
    if (queue === undefined || store === undefined || handle === undefined) return undefined;
    return { name: `worker ${context}`, role: 'worker', context, shared: true, work: (stop) => runCommandWorker({ queue, store, handle, ...tools }, stop) };
  }

  function relay(context: Context): Worker | undefined {
    const work = relays?.work(context);
    return work && { name: `relay ${context}`, role: 'relay', context, shared: false, work };
  }
}

const everyone: Leadership = { lead: (_name, stop, work) => work(stop) };

/** Runs them until `stop`, each on its own; `statuses` says how each of them is. */
export async function runWorkers(
  workers: readonly Worker[], statuses: WorkerStatus[],
  { leadership, logger }: { leadership: Partial<Record<Context, Leadership>>; logger: Logger }, stop: AbortSignal,
): Promise<void> {
  // Every worker listens to it, and so does what each of them waits for.
  setMaxListeners(0, stop);
  await Promise.all(workers.map(({ name, context, shared, work }) => {
    const status: WorkerStatus = { name, state: 'standby' };
    statuses.push(status);
    return supervise(status, { leadership: shared ? everyone : leadership[context] ?? everyone, logger }, stop, work);
  }));
}
