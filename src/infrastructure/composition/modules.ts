import { ContainerModule } from 'inversify';
import { createCustomerCommands } from '../../application/customers/customer-commands.js';
import { eventCodec, upcasters } from '../../application/event-codec.js';
import { createExecute } from '../../application/execute.js';
import { createOrderCommands } from '../../application/orders/order-commands.js';
import type { EventStores } from '../../application/ports/event-store.js';
import type { LogSignal } from '../../application/ports/log-signal.js';
import type { View } from '../../application/projections/projection.js';
import { contexts } from '../../domain/events.js';
import type { Config } from '../config.js';
import type { Lifecycle } from '../lifecycle.js';
import { LogFeed } from '../log/log-feed.js';
import { MemoryCheckpointStore } from '../memory/memory-checkpoint-store.js';
import { MemoryCommandQueue } from '../memory/memory-command-queue.js';
import { MemoryEventStore } from '../memory/memory-event-store.js';
import { MemoryLeadership } from '../memory/memory-leadership.js';
import { MemoryLogSignal } from '../memory/memory-log-signal.js';
import { MemorySnapshotStore } from '../memory/memory-snapshot-store.js';
import { MemoryViewStores } from '../memory/memory-view-store.js';
import { openDatabase, type Database, type Schema } from '../postgres/database.js';
import { openEmbeddedPostgres } from '../postgres/embedded-postgres.js';
import { migrate } from '../postgres/migrate.js';
import { PostgresCheckpointStore } from '../postgres/postgres-checkpoint-store.js';
import { PostgresCommandQueue } from '../postgres/postgres-command-queue.js';
import { PostgresEventStore } from '../postgres/postgres-event-store.js';
import { PostgresLeadership } from '../postgres/postgres-leadership.js';
import { PostgresLogSignal } from '../postgres/postgres-log-signal.js';
import { PostgresSnapshotStore } from '../postgres/postgres-snapshot-store.js';
import { pruneIdempotency } from '../postgres/prune-idempotency.js';
import { PostgresViewStores } from '../postgres/postgres-view-store.js';
import { Token } from './tokens.js';
import { openViews } from './views.js';

const codec = eventCodec(upcasters);

export const memoryLog = new ContainerModule(({ bind }) => {
  bind(Token.signal).toResolvedValue(() => new MemoryLogSignal());
  bind(Token.stores).toResolvedValue((signal: LogSignal): EventStores => ({
    customers: new MemoryEventStore('customers', codec, signal),
    orders: new MemoryEventStore('orders', codec, signal),
  }), [Token.signal]);
  bind(Token.snapshots).toResolvedValue(() => ({ customers: new MemorySnapshotStore(), orders: new MemorySnapshotStore() }));
  bind(Token.checkpoints).toResolvedValue(() => ({ customers: new MemoryCheckpointStore(), orders: new MemoryCheckpointStore() }));
  bind(Token.commandQueues).toResolvedValue(({ commandQueueLimit }: Config) =>
    ({ customers: new MemoryCommandQueue(commandQueueLimit), orders: new MemoryCommandQueue(commandQueueLimit) }), [Token.config]);
  bind(Token.leadership).toResolvedValue(() => new MemoryLeadership());
});

export const postgresDatabases = new ContainerModule(({ bind }) => {
  bind(Token.databases).toResolvedValue(openDatabases, [Token.config, Token.lifecycle]);
});

const hourMs = 3_600_000;

async function openDatabases(config: Config, lifecycle: Lifecycle): Promise<Record<Schema, Database>> {
  let urls = config.databases;
  if (urls === undefined) {
    const server = await openEmbeddedPostgres(config.dataDir);
    lifecycle.opens('embedded PostgreSQL', () => server.close());
    urls = { customers: server.url, orders: server.url };
  }
  // The query store is the orders database's neighbour, in a schema of its own.
  const places = { customers: urls.customers, orders: urls.orders, views: urls.orders };
  const open = async (schema: Schema) => {
    await migrate(places[schema], [schema]);
    const database = openDatabase(places[schema], schema);
    lifecycle.opens(`database of ${schema}`, () => database.close());
    return database;
  };
  const databases = { customers: await open('customers'), orders: await open('orders'), views: await open('views') };
  const prune = () => {
    // An outage is no matter: the next hour will do.
    for (const context of contexts) pruneIdempotency(databases[context], config.idempotencyRetentionHours).catch(() => undefined);
  };
  prune();
  const hourly = setInterval(prune, hourMs);
  lifecycle.opens('hourly pruning', () => { clearInterval(hourly); return Promise.resolve(); });
  return databases;
}

type Databases = Record<Schema, Database>;

export const postgresLog = new ContainerModule(({ bind }) => {
  bind(Token.signal).toResolvedValue((databases: Databases, lifecycle: Lifecycle) => {
    const signal = new PostgresLogSignal(databases);
    lifecycle.opens('log signal', () => signal.close());
    return signal;
  }, [Token.databases, Token.lifecycle]);
  bind(Token.stores).toResolvedValue((databases: Databases, signal: LogSignal): EventStores => ({
    customers: new PostgresEventStore(databases.customers, 'customers', codec, signal),
    orders: new PostgresEventStore(databases.orders, 'orders', codec, signal),
  }), [Token.databases, Token.signal]);
  bind(Token.snapshots).toResolvedValue(({ customers, orders }: Databases) =>
    ({ customers: new PostgresSnapshotStore(customers), orders: new PostgresSnapshotStore(orders) }), [Token.databases]);
  bind(Token.checkpoints).toResolvedValue(({ customers, orders }: Databases) =>
    ({ customers: new PostgresCheckpointStore(customers), orders: new PostgresCheckpointStore(orders) }), [Token.databases]);
  bind(Token.commandQueues).toResolvedValue(({ customers, orders }: Databases, { commandQueueLimit }: Config) =>
    ({ customers: new PostgresCommandQueue(customers, commandQueueLimit), orders: new PostgresCommandQueue(orders, commandQueueLimit) }), [Token.databases, Token.config]);
  bind(Token.leadership).toResolvedValue(({ views }: Databases) => new PostgresLeadership(views), [Token.databases]);
});

export const logFeed = new ContainerModule(({ bind }) => {
  bind(Token.feed).toResolvedValue((stores: EventStores, signal: LogSignal, { partitions }: Config) => new LogFeed(stores, signal, partitions),
    [Token.stores, Token.signal, Token.config]);
});

export const memoryViews = new ContainerModule(({ bind }) => {
  bind(Token.viewStores).toResolvedValue(() => new MemoryViewStores());
});

export const postgresViews = new ContainerModule(({ bind }) => {
  bind(Token.viewStores).toResolvedValue((databases: Databases) => new PostgresViewStores((home: View<object>['home']) => databases[home]), [Token.databases]);
});

/** What is the same in every profile: the application over its ports. */
export const application = new ContainerModule(({ bind }) => {
  bind(Token.views).toResolvedValue(openViews, [Token.viewStores]);
  bind(Token.execute).toResolvedValue((stores, snapshots, ids, logger, { partitions }: Config) =>
    createExecute({ stores, snapshots, ids, logger, partitions }), [Token.stores, Token.snapshots, Token.ids, Token.logger, Token.config]);
  bind(Token.customerCommands).toResolvedValue(createCustomerCommands, [Token.execute]);
  bind(Token.orderCommands).toResolvedValue((execute, views) => createOrderCommands(execute, views.orderCustomers), [Token.execute, Token.views]);
});
