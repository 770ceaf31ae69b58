import 'reflect-metadata';
import { setMaxListeners } from 'node:events';
import { Container } from 'inversify';
import { afterArrivals, Arrivals } from '../../application/concurrency/arrivals.js';
import { createBehindLog } from '../../application/log/behind-log.js';
import { runCommandWorker } from '../../application/commands/command-worker.js';
import { createTokenCheck, type TokenCheck } from '../../application/log/token.js';
import { createCustomerCommands, type CustomerCommands } from '../../application/customers/customer-commands.js';
import { createCustomerQueries, type CustomerQueries } from '../../application/customers/customer-queries.js';
import { createOrderCommands, type OrderCommandRequest, type OrderCommands } from '../../application/orders/order-commands.js';
import { createOrderQueries, type OrderQueries } from '../../application/orders/order-queries.js';
import type { CommandOutcome, Request } from '../../application/commands/execute.js';
import { beginEpoch } from '../../application/log/new-epoch.js';
import { createPartitionHeads, type PartitionHeads } from '../../application/log/partition-heads.js';
import { decideOrder, holdOrReleaseCredit, runPolicy } from '../../application/policies/index.js';
import type { Policy } from '../../application/policies/policy.js';
import type { CheckpointStore } from '../../application/ports/checkpoint-store.js';
import type { Clock } from '../../application/ports/clock.js';
import type { CommandInbox, CommandQueues } from '../../application/ports/command-queue.js';
import type { Source } from '../../application/ports/event-feed.js';
import type { EventStore, EventStores } from '../../application/ports/event-store.js';
import type { Ids } from '../../application/ports/ids.js';
import type { Leadership } from '../../application/ports/leadership.js';
import type { Logger } from '../../application/ports/logger.js';
import { untraced, type Tracer } from '../../application/ports/tracer.js';
import type { View, ViewStore } from '../../application/ports/view-store.js';
import { views as declarations, type ViewName } from '../../application/views/index.js';
import { runProjector } from '../../application/views/projector.js';
import type { RelayState } from '../../application/log/relay.js';
import { supervise, type WorkerStatus } from '../../application/concurrency/supervisor.js';
import { createTraces, type Traces } from '../../application/queries/traces.js';
import type { CustomerCommand } from '../../domain/customers/customer.js';
import type { Context } from '../../domain/events.js';
import type { Config, Role } from '../process/config.js';
import { eventsTopic } from '../kafka/server/kafka-topics.js';
import { Lifecycle } from '../process/lifecycle.js';
import { OperatorError } from '../process/operator-error.js';
import { createLogger } from '../process/pino-logger.js';
import { uuidIds } from '../process/uuid-ids.js';
import { ask, promptly, refuseOld, type Component, type ViewState } from './health.js';
import { modulesOf } from './modules.js';
import { createRelays } from './relays.js';
import { Token } from './tokens.js';
import type { OpenViews } from './views.js';

/** The service, wired and open, not yet running. Interfaces are made from it. */
export interface Service {
  config: Config;
  /** The use cases of each context that this process serves. */
  customers?: { commands: CustomerCommands; queries: CustomerQueries; queue: CommandInbox };
  orders?: { commands: OrderCommands; queries: OrderQueries; queue: CommandInbox };
  /** Of the contexts that this process serves, as are the views and commands. */
  stores: Partial<EventStores>;
  views: Partial<OpenViews>;
  /** The parts of the service, and whether they work: asked anew at each call, and none of them for long. */
  components: () => Promise<Component[]>;
  viewStates: () => Promise<ViewState[]>;
  /** Of the relays that this process leads. */
  relays: () => readonly RelayState[];
  topics: { nameOf: (context: Context) => string; published: boolean; partitions: number };
  tokens: TokenCheck;
  commandQueues: Partial<CommandQueues>;
  traces: Traces;
  /** The projectors and policies give way to the connections that it is told of. */
  arrivals: Arrivals;
  clock: Clock;
  ids: Ids;
  logger: Logger;
  tracer: Tracer;
  /** Runs the relays, projectors, policies and command workers among `roles` until `stop`. Beside other processes that run them it stands by, or takes its share. */
  run(roles: readonly Role[], stop: AbortSignal): Promise<void>;
  /** Resolves when the policies have reacted to all that was stored before the call; rejects after `timeoutMs`. */
  settled(timeoutMs: number): Promise<void>;
  /** Gives a log another epoch. @returns the position that it begins behind */
  newEpoch(context: Context): Promise<number>;
  /** Closes what was opened, in reverse order. */
  close(): Promise<void>;
}

/** Something that goes on beside the requests. `shared`: every process that runs it takes its share; otherwise one does it, and the others stand by. */
interface Worker {
  name: string;
  role: Role;
  context: Context;
  shared: boolean;
  work: (stop: AbortSignal) => Promise<void>;
}

const everybody: Leadership = { lead: (_name, stop, work) => work(stop) };
const systemClock: Clock = { now: () => new Date() };
const settlePollMs = 5;

/** Binds the ports to the adapters of the configured profile. @throws OperatorError when something that it needs is not to be had */
export async function compose(config: Config, { clock = systemClock, logger = createLogger(config.logLevel), tracer = untraced }: { clock?: Clock; logger?: Logger; tracer?: Tracer } = {}): Promise<Service> {
  const lifecycle = new Lifecycle(logger);
  try {
    const container = new Container({ defaultScope: 'Singleton' });
    container.bind(Token.config).toConstantValue(config);
    container.bind(Token.logger).toConstantValue(logger);
    container.bind(Token.lifecycle).toConstantValue(lifecycle);
    container.bind(Token.clock).toConstantValue(clock);
    container.bind(Token.ids).toConstantValue(uuidIds);
    container.bind(Token.tracer).toConstantValue(tracer);
    container.load(...modulesOf(config.adapters));
    return await open(container, config, { clock, logger, lifecycle, tracer });
  } catch (error) {
    await lifecycle.close();
    throw error;
  }
}

async function open(container: Container, config: Config, { clock, logger, lifecycle, tracer }: { clock: Clock; logger: Logger; lifecycle: Lifecycle; tracer: Tracer }): Promise<Service> {
  const stores = await container.getAsync(Token.stores);
  const views = await container.getAsync(Token.views);
  const arrivals = new Arrivals();
  const feed = afterArrivals(await container.getAsync(Token.feed), arrivals);
  const checkpoints = await container.getAsync(Token.checkpoints);
  const leadership = await container.getAsync(Token.leadership);
  const execute = await container.getAsync(Token.execute);
  const customerCommands = stores.customers && createCustomerCommands(execute);
  const orderCommands = stores.orders && views.orderCustomers && createOrderCommands(execute, views.orderCustomers);
  const commandQueues = await container.getAsync(Token.commandQueues);
  const traces = createTraces(stores);
  const statuses: WorkerStatus[] = [];
  const headsOf = Object.fromEntries((Object.entries(stores) as [Context, EventStore][]).map(([context, store]) => [context, createPartitionHeads(store, config.partitions)])) as Partial<Record<Context, PartitionHeads>>;

  const behindLog = () => (config.adapters.feed === 'kafka' ? createBehindLog({ stores, checkpoints, partitions: config.partitions, clock }) : () => Promise.resolve(null));

  const declared = (Object.entries(declarations) as [ViewName, View<object>][]).flatMap(([name, view]) => {
    const store = views[name] as ViewStore<object> | undefined;
    return store === undefined ? [] : [{ view, store }];
  });
  const workers: Worker[] = [
    ...declared.map(({ view, store }): Worker => ({
      name: `projector ${view.name}`, role: 'projector', context: view.servedBy, shared: feed.shared,
      work: (stop) => runProjector(view, { store, feed, stores, behindLog: behindLog(), clock, logger, tracer }, stop),
    })),
    ...(checkpoints.customers === undefined || customerCommands === undefined ? [] : [policyWorker(holdOrReleaseCredit, checkpoints.customers, customerCommands)]),
    ...(checkpoints.orders === undefined || orderCommands === undefined ? [] : [policyWorker(decideOrder, checkpoints.orders, orderCommands)]),
  ];
  if (commandQueues.customers && stores.customers && customerCommands) {
    const parts = { queue: commandQueues.customers, store: stores.customers, clock, logger };
    workers.push(commandWorker('customers', (stop) => runCommandWorker({ ...parts, handle: (command, request) => customerCommands(command as CustomerCommand, request) }, stop)));
  }
  if (commandQueues.orders && stores.orders && orderCommands) {
    const parts = { queue: commandQueues.orders, store: stores.orders, clock, logger };
    workers.push(commandWorker('orders', (stop) => runCommandWorker({ ...parts, handle: (command, request, seen) => orderCommands(command as OrderCommandRequest, request, seen) }, stop)));
  }
  const relays = config.adapters.feed !== 'kafka' ? undefined : createRelays({
    stores, checkpoints, signal: await container.getAsync(Token.signal), publisher: await container.getAsync(Token.publisher), partitions: config.partitions, logger, tracer,
  });
  for (const context of config.contexts) {
    const work = relays?.work(context);
    if (work !== undefined) workers.push({ name: `relay ${context}`, role: 'relay', context, shared: false, work });
  }

  function policyWorker<From extends Context, Command>(policy: Policy<From, Command>, own: CheckpointStore, handle: (command: Command, request: Request) => Promise<CommandOutcome>): Worker {
    return { name: `policy ${policy.name}`, role: 'policies', context: policy.to, shared: feed.shared, work: (stop) => runPolicy(policy, { feed, checkpoints: own, handle, logger, tracer }, stop) };
  }

  function commandWorker(context: Context, work: Worker['work']): Worker {
    return { name: `worker ${context}`, role: 'worker', context, shared: true, work };
  }

  const viewStates = () => Promise.all(declared.map(async ({ view: { name, revision }, store }): Promise<ViewState> => {
    try {
      return { name, revision, progress: await promptly(() => store.progress()) };
    } catch (error) {
      return { name, revision, progress: undefined, error: (error as Error).message };
    }
  }));

  async function components(): Promise<Component[]> {
    const asked = await Promise.all([
      ...(Object.entries(stores) as [Context, EventStore][]).map(([context, store]) => ask(`log of ${context}`, true, () => store.check())),
      // Commands do without the views: one that is away must not take the whole process out of service.
      ...declared.map(({ view, store }) => ask(`view ${view.name}`, false, async () => { refuseOld(await store.progress(), clock.now()); })),
    ]);
    return [...asked, ...statuses.map(({ name, state, error }): Component =>
      ({ name, vital: false, status: state === 'running' ? 'up' : state === 'standby' ? 'standby' : 'down', ...(error !== undefined && { error }) }))];
  }

  const topicPrefix = config.adapters.feed === 'kafka' ? config.kafka?.topicPrefix : undefined;
  return {
    config, stores, views, components, viewStates, commandQueues, traces, arrivals, clock, ids: uuidIds, logger, tracer,
    ...(stores.customers && views.customers && views.customerHistory && customerCommands && commandQueues.customers
      && { customers: { commands: customerCommands, queue: commandQueues.customers, queries: createCustomerQueries({ store: stores.customers, view: views.customers, histories: views.customerHistory }) } }),
    ...(stores.orders && views.orders && orderCommands && commandQueues.orders
      && { orders: { commands: orderCommands, queue: commandQueues.orders, queries: createOrderQueries({ store: stores.orders, view: views.orders, clock }) } }),
    relays: () => relays?.states() ?? [],
    topics: { nameOf: (context) => eventsTopic(topicPrefix ?? '{prefix}', context), published: topicPrefix !== undefined, partitions: config.partitions },
    tokens: createTokenCheck(stores, config.partitions),
    async run(roles, stop) {
      // Every worker listens to it, and so does what each of them waits for.
      setMaxListeners(0, stop);
      await Promise.all(workers.filter(({ role }) => roles.includes(role)).map(({ name, context, shared, work }) => {
        const status: WorkerStatus = { name, state: 'standby' };
        statuses.push(status);
        return supervise(status, { leadership: shared ? everybody : leadership[context] ?? everybody, logger }, stop, work);
      }));
    },
    async settled(timeoutMs) {
      const deadline = performance.now() + timeoutMs;
      // In the saga's own order: what the first policy does is what the second one reacts to.
      for (const policy of [holdOrReleaseCredit, decideOrder]) {
        const heads = await headsOf[policy.from]?.();
        const own = checkpoints[policy.to];
        if (heads === undefined || own === undefined) throw new OperatorError('Both contexts are needed here: CONTEXTS must not name just one.');
        for (;;) {
          const progress = await own.load(policy.name);
          if (Object.entries(heads).every(([source, position]) => (progress[source as Source] ?? 0) >= (position ?? 0))) break;
          if (performance.now() > deadline) throw new Error(`the policy ${policy.name} has not reacted within ${timeoutMs} ms`);
          await new Promise((resolve) => setTimeout(resolve, settlePollMs));
        }
      }
    },
    async newEpoch(context) {
      const [store, give, { customers, orders }] = [stores[context] as EventStore | undefined, (await container.getAsync(Token.giveEpoch))[context], checkpoints];
      if (store === undefined || give === undefined || customers === undefined || orders === undefined) throw new OperatorError('Both contexts are needed here, in PostgreSQL: CONTEXTS must not name just one.');
      return beginEpoch(context, uuidIds.next(), { store, policies: [holdOrReleaseCredit, decideOrder], checkpoints: { customers, orders }, give });
    },
    close: () => lifecycle.close(),
  };
}
