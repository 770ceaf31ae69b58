import type { Client } from '@elastic/elasticsearch';
import { ContainerModule } from 'inversify';
import type { Kafka } from 'kafkajs';
import { eventCodec, upcasters } from '../../application/log/codec.js';
import { createExecute } from '../../application/commands/execute.js';
import type { EventStores } from '../../application/ports/event-store.js';
import type { LogSignal } from '../../application/ports/log-signal.js';
import type { Logger } from '../../application/ports/logger.js';
import type { ViewStores } from '../../application/ports/view-store.js';
import type { Context } from '../../domain/events.js';
import type { Config } from '../process/config.js';
import { checkElasticsearch, connectElasticsearch } from '../elasticsearch/elasticsearch-client.js';
import { ElasticsearchViewStores } from '../elasticsearch/elasticsearch-view-store.js';
import { checkKafka, connectKafka } from '../kafka/server/kafka-client.js';
import { KafkaCommandQueue } from '../kafka/commands/kafka-command-queue.js';
import { KafkaEventPublisher } from '../kafka/events/kafka-event-publisher.js';
import { KafkaFeed } from '../kafka/events/kafka-feed.js';
import type { Lifecycle } from '../process/lifecycle.js';
import { LogFeed } from '../../application/log/log-feed.js';
import { MemoryCheckpointStore } from '../memory/memory-checkpoint-store.js';
import { MemoryCommandQueue } from '../memory/memory-command-queue.js';
import { MemoryEventStore } from '../memory/memory-event-store.js';
import { MemoryLeadership } from '../memory/memory-leadership.js';
import { MemoryLogSignal } from '../memory/memory-log-signal.js';
import { MemorySnapshotStore } from '../memory/memory-snapshot-store.js';
import { MemoryViewStores } from '../memory/memory-view-store.js';
import { giveEpoch } from '../postgres/log/give-epoch.js';
import { PostgresCheckpointStore } from '../postgres/log/postgres-checkpoint-store.js';
import { PostgresCommandQueue } from '../postgres/log/postgres-command-queue.js';
import { PostgresEventStore } from '../postgres/log/postgres-event-store.js';
import { PostgresLeadership } from '../postgres/log/postgres-leadership.js';
import { PostgresLogSignal } from '../postgres/log/postgres-log-signal.js';
import { PostgresSnapshotStore } from '../postgres/log/postgres-snapshot-store.js';
import { PostgresViewStores } from '../postgres/views/postgres-view-store.js';
import type { Adapters } from '../process/profiles.js';
import { configured, logOf, openDatabases, viewsOf } from './databases.js';
import { Token, type Databases } from './tokens.js';
import { openViews } from './views.js';

export const codec = eventCodec(upcasters);

const memoryLog = new ContainerModule(({ bind }) => {
  bind(Token.signal).toResolvedValue(() => new MemoryLogSignal());
  bind(Token.stores).toResolvedValue((signal: LogSignal, { contexts }: Config): Partial<EventStores> =>
    perContext(contexts, (context) => new MemoryEventStore(context, codec, signal)) as Partial<EventStores>,
  [Token.signal, Token.config]);
  bind(Token.snapshots).toResolvedValue(({ contexts }: Config) => perContext(contexts, () => new MemorySnapshotStore()), [Token.config]);
  bind(Token.checkpoints).toResolvedValue(({ contexts }: Config) => perContext(contexts, () => new MemoryCheckpointStore()), [Token.config]);
  bind(Token.giveEpoch).toConstantValue({});
  bind(Token.leadership).toResolvedValue(({ contexts }: Config) => {
    const leadership = new MemoryLeadership();
    return perContext(contexts, () => leadership);
  }, [Token.config]);
});

const postgresLog = new ContainerModule(({ bind }) => {
  bind(Token.databases).toResolvedValue(openDatabases, [Token.config, Token.lifecycle, Token.logger]);
  bind(Token.signal).toResolvedValue((databases: Databases, { contexts }: Config, lifecycle: Lifecycle) => {
    const signal = new PostgresLogSignal(perContext(contexts, (context) => logOf(databases, context)), new MemoryLogSignal());
    lifecycle.opens('log signal', () => signal.close());
    return signal;
  }, [Token.databases, Token.config, Token.lifecycle]);
  bind(Token.stores).toResolvedValue((databases: Databases, signal: LogSignal, { contexts }: Config): Partial<EventStores> =>
    perContext(contexts, (context) => new PostgresEventStore(logOf(databases, context), context, codec, signal)) as Partial<EventStores>,
  [Token.databases, Token.signal, Token.config]);
  bind(Token.snapshots).toResolvedValue((databases: Databases, { contexts }: Config) =>
    perContext(contexts, (context) => new PostgresSnapshotStore(logOf(databases, context))), [Token.databases, Token.config]);
  bind(Token.checkpoints).toResolvedValue((databases: Databases, { contexts }: Config) =>
    perContext(contexts, (context) => new PostgresCheckpointStore(logOf(databases, context))), [Token.databases, Token.config]);
  bind(Token.giveEpoch).toResolvedValue((databases: Databases, { contexts }: Config) =>
    perContext(contexts, (context) => (epoch: string) => giveEpoch(logOf(databases, context), epoch)), [Token.databases, Token.config]);
  bind(Token.leadership).toResolvedValue((databases: Databases, { contexts }: Config) =>
    perContext(contexts, (context) => new PostgresLeadership(logOf(databases, context))), [Token.databases, Token.config]);
});

const logFeed = new ContainerModule(({ bind }) => {
  bind(Token.feed).toResolvedValue((stores: Partial<EventStores>, signal: LogSignal, { partitions }: Config) => new LogFeed(stores, signal, partitions),
    [Token.stores, Token.signal, Token.config]);
});

const kafkaClient = new ContainerModule(({ bind }) => {
  bind(Token.kafka).toResolvedValue(async ({ kafka: config }: Config, logger: Logger) => {
    const kafka = connectKafka(configured(config));
    await checkKafka(configured(config), logger);
    return kafka;
  }, [Token.config, Token.logger]);
});

const kafkaFeed = new ContainerModule(({ bind }) => {
  bind(Token.publisher).toResolvedValue((kafka: Kafka, { kafka: config, partitions }: Config, lifecycle: Lifecycle) => {
    const publisher = new KafkaEventPublisher(kafka, { topicPrefix: configured(config).topicPrefix, partitions });
    lifecycle.opens('Kafka producers', () => publisher.close());
    return publisher;
  }, [Token.kafka, Token.config, Token.lifecycle]);
  bind(Token.feed).toResolvedValue((kafka: Kafka, stores: Partial<EventStores>, { kafka: config, partitions }: Config, logger: Logger) =>
    new KafkaFeed({ kafka, codec, stores, logger, topicPrefix: configured(config).topicPrefix, partitions }),
  [Token.kafka, Token.stores, Token.config, Token.logger]);
});

const memoryViews = new ContainerModule(({ bind }) => {
  bind(Token.viewStores).toResolvedValue(() => new MemoryViewStores());
});

const postgresViews = new ContainerModule(({ bind }) => {
  bind(Token.viewStores).toResolvedValue((databases: Databases) => new PostgresViewStores(viewsOf(databases)), [Token.databases]);
});

const elasticsearchViews = new ContainerModule(({ bind }) => {
  bind(Token.elasticsearch).toResolvedValue(async ({ elasticsearch }: Config, lifecycle: Lifecycle) => {
    const client = await connectElasticsearch(configured(elasticsearch));
    lifecycle.opens('Elasticsearch client', () => client.close());
    await checkElasticsearch(client, configured(elasticsearch).url);
    return client;
  }, [Token.config, Token.lifecycle]);
  bind(Token.viewStores).toResolvedValue((client: Client, { elasticsearch }: Config, homes: ViewStores): ViewStores => {
    const search = new ElasticsearchViewStores(client, configured(elasticsearch));
    return { open: (view) => (view.home === 'views' ? search : homes).open(view) };
  }, [Token.elasticsearch, Token.config, Token.homeStores]);
});

/** Where a context keeps its own copy of another's data: beside its log. */
const homes = {
  memory: new ContainerModule(({ bind }) => { bind(Token.homeStores).toResolvedValue(() => new MemoryViewStores()); }),
  postgres: new ContainerModule(({ bind }) => {
    bind(Token.homeStores).toResolvedValue((databases: Databases) => new PostgresViewStores(viewsOf(databases)), [Token.databases]);
  }),
};

const commandQueues = {
  memory: new ContainerModule(({ bind }) => {
    bind(Token.commandQueues).toResolvedValue(({ contexts, commandQueueLimit }: Config) =>
      perContext(contexts, () => new MemoryCommandQueue(commandQueueLimit)), [Token.config]);
  }),
  postgres: new ContainerModule(({ bind }) => {
    bind(Token.commandQueues).toResolvedValue((databases: Databases, { contexts, commandQueueLimit }: Config) =>
      perContext(contexts, (context) => new PostgresCommandQueue(logOf(databases, context), commandQueueLimit)), [Token.databases, Token.config]);
  }),
  kafka: new ContainerModule(({ bind }) => {
    bind(Token.commandQueues).toResolvedValue((kafka: Kafka, config: Config, logger: Logger, lifecycle: Lifecycle) =>
      perContext(config.contexts, (context) => openKafkaQueue(kafka, context, config, logger, lifecycle)),
    [Token.kafka, Token.config, Token.logger, Token.lifecycle]);
  }),
};

const hourMs = 3_600_000;

function openKafkaQueue(kafka: Kafka, context: Context, config: Config, logger: Logger, lifecycle: Lifecycle): KafkaCommandQueue {
  const queue = new KafkaCommandQueue(kafka, {
    context,
    topicPrefix: configured(config.kafka).topicPrefix,
    limit: config.commandQueueLimit,
    retentionHours: config.idempotencyRetentionHours,
    logger,
  });
  const hourly = setInterval(() => { queue.forgetOld().catch(() => undefined); }, hourMs);
  lifecycle.opens(`commands of ${context}`, () => {
    clearInterval(hourly);
    return queue.close();
  });
  return queue;
}

const logs = { memory: memoryLog, postgres: postgresLog };
const feeds = { log: logFeed, kafka: kafkaFeed };
const viewStores = { memory: memoryViews, postgres: postgresViews, elasticsearch: elasticsearchViews };

export function modulesOf({ log, feed, views, commands }: Adapters): ContainerModule[] {
  const usesKafka = feed === 'kafka' || commands === 'kafka';
  return [logs[log], homes[log], ...(usesKafka ? [kafkaClient] : []), feeds[feed], viewStores[views], commandQueues[commands], application];
}

function perContext<T>(contexts: readonly Context[], open: (context: Context) => T): Partial<Record<Context, T>> {
  return Object.fromEntries(contexts.map((context) => [context, open(context)]));
}

/** The part that is the same in every profile: the application over its ports. */
const application = new ContainerModule(({ bind }) => {
  bind(Token.views).toResolvedValue(openViews, [Token.viewStores, Token.config]);
  bind(Token.execute).toResolvedValue((stores, snapshots, ids, logger, { partitions }: Config, tracer) =>
    createExecute({ stores, snapshots, ids, logger, partitions, tracer }),
  [Token.stores, Token.snapshots, Token.ids, Token.logger, Token.config, Token.tracer]);
});
