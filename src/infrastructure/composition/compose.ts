import 'reflect-metadata';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Express } from 'express';
import { Container } from 'inversify';
import type { CustomerCommands } from '../../application/customers/customer-commands.js';
import type { Seen } from '../../application/caller.js';
import { runCommandWorker } from '../../application/command-worker.js';
import { createCustomerQueries } from '../../application/customers/customer-queries.js';
import type { Request } from '../../application/execute.js';
import type { OrderCommandRequest, OrderCommands } from '../../application/orders/order-commands.js';
import { createOrderQueries } from '../../application/orders/order-queries.js';
import { source } from '../../application/partition.js';
import { decideOrder, holdOrReleaseCredit, runPolicy } from '../../application/policies/index.js';
import type { Clock } from '../../application/ports/clock.js';
import type { CommandQueues } from '../../application/ports/command-queue.js';
import type { Progress } from '../../application/ports/event-feed.js';
import type { EventStores } from '../../application/ports/event-store.js';
import type { Leadership } from '../../application/ports/leadership.js';
import type { Logger } from '../../application/ports/logger.js';
import { views as declarations, type ViewName } from '../../application/projections/index.js';
import type { View } from '../../application/projections/projection.js';
import { runProjector } from '../../application/projector.js';
import { supervise, type WorkerStatus } from '../../application/supervisor.js';
import { createTraces, type Traces } from '../../application/traces.js';
import type { CustomerCommand } from '../../domain/customers/customer.js';
import { contexts, type Context } from '../../domain/events.js';
import { anybody, createAuthenticator } from '../../interfaces/http/access.js';
import { createApp } from '../../interfaces/http/app.js';
import type { Component, ViewState } from '../../interfaces/http/status.js';
import type { Config, Role } from '../config.js';
import { cursorSecretOf } from '../cursor-secret.js';
import { openKeySet } from '../jwks.js';
import { Lifecycle } from '../lifecycle.js';
import { packageRoot } from '../package-root.js';
import { createLogger } from '../pino-logger.js';
import { uuidIds } from '../uuid-ids.js';
import { application } from './modules.js';
import { profiles } from './profiles.js';
import { Token } from './tokens.js';
import type { OpenViews } from './views.js';

/** The service, wired and open, not yet running. */
export interface Service {
  config: Config;
  app: Express;
  stores: EventStores;
  views: OpenViews;
  viewStates: () => Promise<ViewState[]>;
  customerCommands: CustomerCommands;
  orderCommands: OrderCommands;
  commandQueues: CommandQueues;
  traces: Traces;
  logger: Logger;
  /** Runs the projectors, policies and command workers among `roles` until `stop`. Beside another process that runs a projector or policy it stands by. */
  run(roles: readonly Role[], stop: AbortSignal): Promise<void>;
  /** Resolves when the policies have reacted to all that was stored before the call; rejects after `timeoutMs`. */
  settled(timeoutMs: number): Promise<void>;
  /** Closes what was opened, in reverse order. */
  close(): Promise<void>;
}

const systemClock: Clock = { now: () => new Date() };
/** For work that instances share by leases. */
const everyInstance: Leadership = { lead: (_name, stop, work) => work(stop) };
const componentTimeoutMs = 2_000;
const settlePollMs = 5;

/** Binds the ports to the adapters of the configured profile. @throws OperatorError when something that it needs is not to be had */
export async function compose(config: Config, { clock = systemClock, logger = createLogger(config.logLevel) }: { clock?: Clock; logger?: Logger } = {}): Promise<Service> {
  const lifecycle = new Lifecycle(logger);
  try {
    const container = new Container({ defaultScope: 'Singleton' });
    container.bind(Token.config).toConstantValue(config);
    container.bind(Token.logger).toConstantValue(logger);
    container.bind(Token.lifecycle).toConstantValue(lifecycle);
    container.bind(Token.clock).toConstantValue(clock);
    container.bind(Token.ids).toConstantValue(uuidIds);
    container.load(...profiles[config.profile], application);
    return await open(container, config, { clock, logger, lifecycle });
  } catch (error) {
    await lifecycle.close();
    throw error;
  }
}

async function open(container: Container, config: Config, { clock, logger, lifecycle }: { clock: Clock; logger: Logger; lifecycle: Lifecycle }): Promise<Service> {
  const stores = await container.getAsync(Token.stores);
  const views = await container.getAsync(Token.views);
  const feed = await container.getAsync(Token.feed);
  const checkpoints = await container.getAsync(Token.checkpoints);
  const leadership = await container.getAsync(Token.leadership);
  const customerCommands = await container.getAsync(Token.customerCommands);
  const orderCommands = await container.getAsync(Token.orderCommands);
  const commandQueues = await container.getAsync(Token.commandQueues);
  const traces = createTraces(stores);
  const statuses: WorkerStatus[] = [];

  const projectors = Object.entries(declarations).map(([name, view]) => ({
    name: `projector ${view.name}`,
    work: (stop: AbortSignal) => runProjector(view as View<object>, { store: views[name as ViewName], feed, stores, clock, logger }, stop),
  }));
  const policies = [
    { name: `policy ${holdOrReleaseCredit.name}`, work: (stop: AbortSignal) => runPolicy(holdOrReleaseCredit, { feed, checkpoints: checkpoints.customers, handle: customerCommands, logger }, stop) },
    { name: `policy ${decideOrder.name}`, work: (stop: AbortSignal) => runPolicy(decideOrder, { feed, checkpoints: checkpoints.orders, handle: orderCommands, logger }, stop) },
  ];

  const handlers = {
    customers: (command: object, ...rest: [Request]) => customerCommands(command as CustomerCommand, ...rest),
    orders: (command: object, ...rest: [Request, Seen?]) => orderCommands(command as OrderCommandRequest, ...rest),
  };
  const commandWorkers = contexts.map((context) => ({
    name: `worker of ${context}`,
    work: (stop: AbortSignal) => runCommandWorker({ queue: commandQueues[context], store: stores[context], handle: handlers[context], clock, logger }, stop),
    leadership: everyInstance,
  }));

  const viewStates = () => Promise.all(Object.entries(declarations).map(async ([name, { name: viewName, revision }]) =>
    ({ name: viewName, revision, progress: await views[name as ViewName].progress() })));

  async function components(): Promise<Component[]> {
    const asked = await Promise.all([
      ...contexts.map((context) => ask(`log of ${context}`, () => stores[context].head())),
      ask('query store', () => views.orders.progress()),
    ]);
    return [...asked, ...statuses.map(({ name, state, error }): Component =>
      ({ name, vital: false, status: state === 'running' ? 'up' : state === 'standby' ? 'standby' : 'down', ...(error !== undefined && { error }) }))];
  }

  const app = createApp({
    customerCommands,
    customerQueries: createCustomerQueries({ store: stores.customers, view: views.customers, histories: views.customerHistory }),
    orderCommands,
    orderQueries: createOrderQueries({ store: stores.orders, view: views.orders, clock }),
    commandQueues,
    traces,
    components,
    viewStates,
    authenticate: config.auth.mode === 'off' ? anybody : createAuthenticator({ ...config.auth, keys: await openKeySet(config.auth.jwks) }),
    cursorSecret: await cursorSecretOf(config),
    sagaTimeoutSeconds: config.sagaTimeoutSeconds,
    clock,
    ids: uuidIds,
    logger,
    version,
  });

  return {
    config, app, stores, views, viewStates, customerCommands, orderCommands, commandQueues, traces, logger,
    async run(roles, stop) {
      const workers = [
        ...[...(roles.includes('projector') ? projectors : []), ...(roles.includes('policies') ? policies : [])].map((worker) => ({ ...worker, leadership })),
        ...(roles.includes('worker') ? commandWorkers : []),
      ];
      await Promise.all(workers.map(({ name, work, leadership }) => {
        const status: WorkerStatus = { name, state: 'standby' };
        statuses.push(status);
        return supervise(status, { leadership, logger }, stop, work);
      }));
    },
    async settled(timeoutMs) {
      const deadline = performance.now() + timeoutMs;
      // In the saga's own order: what the first policy does is what the second one reacts to.
      for (const policy of [holdOrReleaseCredit, decideOrder]) {
        const { position } = await stores[policy.from].head();
        while (!hasReached(await checkpoints[policy.to].load(policy.name), policy.from, position, config.partitions)) {
          if (performance.now() > deadline) throw new Error(`the policy ${policy.name} has not reacted within ${timeoutMs} ms`);
          await new Promise((resolve) => setTimeout(resolve, settlePollMs));
        }
      }
    },
    close: () => lifecycle.close(),
  };
}

function hasReached(progress: Progress, context: Context, position: number, partitions: number): boolean {
  return Array.from({ length: partitions }, (_, partition) => progress[source(context, partition)] ?? 0).every((reached) => reached >= position);
}

const { version } = JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8')) as { version: string };

async function ask(name: string, question: () => Promise<unknown>): Promise<Component> {
  let timer: NodeJS.Timeout | undefined;
  try {
    await Promise.race([question(), new Promise((_, reject) => { timer = setTimeout(() => { reject(new Error('no answer')); }, componentTimeoutMs); })]);
    return { name, vital: true, status: 'up' };
  } catch (error) {
    return { name, vital: true, status: 'down', error: (error as Error).message };
  } finally {
    clearTimeout(timer);
  }
}
