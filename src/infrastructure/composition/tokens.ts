import type { ServiceIdentifier } from 'inversify';
import type { CustomerCommands } from '../../application/customers/customer-commands.js';
import type { Execute } from '../../application/execute.js';
import type { OrderCommands } from '../../application/orders/order-commands.js';
import type { CheckpointStore } from '../../application/ports/checkpoint-store.js';
import type { Clock } from '../../application/ports/clock.js';
import type { CommandQueues } from '../../application/ports/command-queue.js';
import type { EventFeed } from '../../application/ports/event-feed.js';
import type { EventStores } from '../../application/ports/event-store.js';
import type { Ids } from '../../application/ports/ids.js';
import type { Leadership } from '../../application/ports/leadership.js';
import type { LogSignal } from '../../application/ports/log-signal.js';
import type { Logger } from '../../application/ports/logger.js';
import type { SnapshotStore } from '../../application/ports/snapshot-store.js';
import type { ViewStores } from '../../application/ports/view-store.js';
import type { Context } from '../../domain/events.js';
import type { Config } from '../config.js';
import type { Lifecycle } from '../lifecycle.js';
import type { Database, Schema } from '../postgres/database.js';
import type { OpenViews } from './views.js';

const token = <T>(name: string) => Symbol(name) as ServiceIdentifier<T>;

export const Token = {
  config: token<Config>('Config'),
  logger: token<Logger>('Logger'),
  lifecycle: token<Lifecycle>('Lifecycle'),
  clock: token<Clock>('Clock'),
  ids: token<Ids>('Ids'),
  /** Only where PostgreSQL is among the adapters. */
  databases: token<Record<Schema, Database>>('Databases'),
  signal: token<LogSignal>('LogSignal'),
  stores: token<EventStores>('EventStores'),
  snapshots: token<Record<Context, SnapshotStore>>('SnapshotStores'),
  checkpoints: token<Record<Context, CheckpointStore>>('CheckpointStores'),
  commandQueues: token<CommandQueues>('CommandQueues'),
  leadership: token<Leadership>('Leadership'),
  feed: token<EventFeed>('EventFeed'),
  viewStores: token<ViewStores>('ViewStores'),
  views: token<OpenViews>('Views'),
  execute: token<Execute>('Execute'),
  customerCommands: token<CustomerCommands>('CustomerCommands'),
  orderCommands: token<OrderCommands>('OrderCommands'),
};
