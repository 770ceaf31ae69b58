import type { Client } from '@elastic/elasticsearch';
import type { ServiceIdentifier } from 'inversify';
import type { Kafka } from 'kafkajs';
import type { Execute } from '../../application/commands/execute.js';
import type { CheckpointStore } from '../../application/ports/checkpoint-store.js';
import type { Clock } from '../../application/ports/clock.js';
import type { CommandQueues } from '../../application/ports/command-queue.js';
import type { EventFeed } from '../../application/ports/event-feed.js';
import type { EventPublisher } from '../../application/ports/event-publisher.js';
import type { PublishedTopic } from '../../application/ports/published-topic.js';
import type { EventStores } from '../../application/ports/event-store.js';
import type { Ids } from '../../application/ports/ids.js';
import type { Leadership } from '../../application/ports/leadership.js';
import type { LogSignal } from '../../application/ports/log-signal.js';
import type { Logger } from '../../application/ports/logger.js';
import type { Tracer } from '../../application/ports/tracer.js';
import type { SnapshotStore } from '../../application/ports/snapshot-store.js';
import type { ViewStores } from '../../application/ports/view-store.js';
import type { Context } from '../../domain/events.js';
import type { Config } from '../process/config.js';
import type { Lifecycle } from '../process/lifecycle.js';
import type { Database } from '../postgres/connection/database.js';
import type { OpenViews } from './views.js';

const token = <T>(name: string) => Symbol(name) as ServiceIdentifier<T>;

/** By context, of those that this process serves: where its log is, and where the views are that it serves. */
export interface Databases {
  logs: Partial<Record<Context, Database>>;
  views: Partial<Record<Context, Database>>;
}

export const Token = {
  config: token<Config>('Config'),
  logger: token<Logger>('Logger'),
  lifecycle: token<Lifecycle>('Lifecycle'),
  clock: token<Clock>('Clock'),
  ids: token<Ids>('Ids'),
  tracer: token<Tracer>('Tracer'),
  /** Only where PostgreSQL is among the adapters. */
  databases: token<Databases>('Databases'),
  signal: token<LogSignal>('LogSignal'),
  /** From here on, by context: of those that this process serves. */
  stores: token<Partial<EventStores>>('EventStores'),
  snapshots: token<Partial<Record<Context, SnapshotStore>>>('SnapshotStores'),
  checkpoints: token<Partial<Record<Context, CheckpointStore>>>('CheckpointStores'),
  commandQueues: token<Partial<CommandQueues>>('CommandQueues'),
  leadership: token<Partial<Record<Context, Leadership>>>('Leadership'),
  feed: token<EventFeed>('EventFeed'),
  viewStores: token<ViewStores>('ViewStores'),
  /** For the views whose home is a context. */
  homeStores: token<ViewStores>('HomeStores'),
  /** Only where views are in Elasticsearch. */
  elasticsearch: token<Client>('Elasticsearch'),
  /** Only where Kafka is the feed. */
  kafka: token<Kafka>('Kafka'),
  /** By context, names the log anew; nothing in memory outlives its log. */
  giveEpoch: token<Partial<Record<Context, (epoch: string) => Promise<void>>>>('giveEpoch'),
  publisher: token<EventPublisher & PublishedTopic>('EventPublisher'),
  views: token<Partial<OpenViews>>('Views'),
  execute: token<Execute>('Execute'),
};
