import 'reflect-metadata';
import { Container } from 'inversify';
import { afterArrivals, Arrivals } from '../../application/concurrency/arrivals.js';
import type { WorkerStatus } from '../../application/concurrency/supervisor.js';
import { createCustomerCommands, type CustomerCommands } from '../../application/customers/customer-commands.js';
import { createCustomerQueries, type CustomerQueries } from '../../application/customers/customer-queries.js';
import { createBehindLog } from '../../application/log/behind-log.js';
import { beginEpoch } from '../../application/log/epoch.js';
import { createPartitionHeads } from '../../application/log/partition-heads.js';
import type { RelayState } from '../../application/log/relay.js';
import { createTokenCheck, type TokenCheck } from '../../application/log/token.js';
import { createOrderCommands, type OrderCommands } from '../../application/orders/order-commands.js';
import { createOrderQueries, type OrderQueries } from '../../application/orders/order-queries.js';
import { decideOrder, holdOrReleaseCredit } from '../../application/policies/index.js';
import { settled } from '../../application/policies/settled.js';
import type { Clock } from '../../application/ports/clock.js';
import type { CommandInbox, CommandQueues } from '../../application/ports/command-queue.js';
import type { EventStore, EventStores } from '../../application/ports/event-store.js';
import type { Ids } from '../../application/ports/ids.js';
import type { Logger } from '../../application/ports/logger.js';
import { untraced, type Tracer } from '../../application/ports/tracer.js';
import { createTraces, type Traces } from '../../application/queries/traces.js';
import type { Context } from '../../domain/events.js';
import { eventsTopic } from '../kafka/server/kafka-topics.js';
import type { Config, Role } from '../process/config.js';
import { Lifecycle } from '../process/lifecycle.js';
import { OperatorError } from '../process/operator-error.js';
import { createLogger } from '../process/pino-logger.js';
import { uuidIds } from '../process/uuid-ids.js';
import { createHealth, type Health } from './health.js';
import { modulesOf } from './modules.js';
import { createRelays } from './relays.js';
import { Token } from './tokens.js';
import { servedViews, type OpenViews } from './views.js';
import { runWorkers, workersOf } from './workers.js';

/** The service, wired and open, not yet running. Interfaces are made from it. */
export interface Service extends Health {
  config: Config;
  /** The use cases of each context that this process serves. */
  customers?: { commands: CustomerCommands; queries: CustomerQueries; queue: CommandInbox };
  orders?: { commands: OrderCommands; queries: OrderQueries; queue: CommandInbox };
  /** The logs, and below the views and queues: those of the contexts that this process serves. */
  stores: Partial<EventStores>;
  views: Partial<OpenViews>;
  /** How far the relays have got that this process leads. */
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
  /**
   * Runs the relays, projectors, policies and command workers among `roles` until `stop`. Beside other processes that run them it stands by,
   * or takes its share.
   */
  run(roles: readonly Role[], stop: AbortSignal): Promise<void>;
  /** Resolves when the policies have reacted to all that was stored before the call; rejects after `timeoutMs`. */
  settled(timeoutMs: number): Promise<void>;
  /** Gives a log another epoch. @returns the position that it begins behind */
  newEpoch(context: Context): Promise<number>;
  /** Closes what was opened, in reverse order. */
  close(): Promise<void>;
}

const systemClock: Clock = { now: () => new Date() };

/** What a service is given by its process, or by a test. */
interface Tools { clock: Clock; logger: Logger; tracer: Tracer }

/** Binds the ports to the adapters of the configured profile. @throws OperatorError when something that it needs is not to be had */
export async function compose(
  config: Config, { clock = systemClock, logger = createLogger(config.logLevel), tracer = untraced }: Partial<Tools> = {},
): Promise<Service> {
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

async function open(container: Container, config: Config, { clock, logger, lifecycle, tracer }: Tools & { lifecycle: Lifecycle }): Promise<Service> {
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
  const served = servedViews(views);
  const { partitions } = config;
  const relays = config.adapters.feed !== 'kafka' ? undefined : createRelays({
    stores, checkpoints, signal: await container.getAsync(Token.signal), publisher: await container.getAsync(Token.publisher), partitions, logger, tracer,
  });
  const workers = workersOf({
    contexts: config.contexts, stores, checkpoints, commandQueues, feed, views: served, relays, customerCommands, orderCommands, clock, logger, tracer,
    behindLog: () => (relays === undefined ? () => Promise.resolve(null) : createBehindLog({ stores, checkpoints, partitions, clock })),
  });

  const heads = stores.customers && stores.orders
    && { customers: createPartitionHeads(stores.customers, partitions), orders: createPartitionHeads(stores.orders, partitions) };
  const both = checkpoints.customers && checkpoints.orders && { customers: checkpoints.customers, orders: checkpoints.orders };
  const topicPrefix = config.adapters.feed === 'kafka' ? config.kafka?.topicPrefix : undefined;

  const service: Service = {
    ...createHealth({ stores, views: served, statuses, clock }),
    config, stores, views, commandQueues, traces, arrivals, clock, ids: uuidIds, logger, tracer,
    relays: () => relays?.states() ?? [],
    topics: { nameOf: (context) => eventsTopic(topicPrefix ?? '{prefix}', context), published: topicPrefix !== undefined, partitions },
    tokens: createTokenCheck(stores, partitions),
    run: (roles, stop) => runWorkers(workers.filter(({ role }) => roles.includes(role)), statuses, { leadership, logger }, stop),
    async settled(timeoutMs) {
      if (heads === undefined || both === undefined) throw new OperatorError('Both contexts are needed here: CONTEXTS must not name just one.');
      await settled({ heads, checkpoints: both }, timeoutMs);
    },
    async newEpoch(context) {
      const store: EventStore | undefined = stores[context];
      const give = (await container.getAsync(Token.giveEpoch))[context];
      if (store === undefined || give === undefined || both === undefined) {
        throw new OperatorError('Both contexts are needed here, in PostgreSQL: CONTEXTS must not name just one.');
      }
      return beginEpoch(context, uuidIds.next(), { store, policies: [holdOrReleaseCredit, decideOrder], checkpoints: both, give });
    },
    close: () => lifecycle.close(),
  };
  if (stores.customers && views.customers && views.customerHistory && customerCommands && commandQueues.customers) {
    const queries = createCustomerQueries({ store: stores.customers, view: views.customers, histories: views.customerHistory });
    service.customers = { commands: customerCommands, queries, queue: commandQueues.customers };
  }
  if (stores.orders && views.orders && orderCommands && commandQueues.orders) {
    const queries = createOrderQueries({ store: stores.orders, view: views.orders, clock });
    service.orders = { commands: orderCommands, queries, queue: commandQueues.orders };
  }
  return service;
}
