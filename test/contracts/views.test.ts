import { connectElasticsearch } from '../../src/infrastructure/elasticsearch/elasticsearch-client.js';
import { ElasticsearchViewStores } from '../../src/infrastructure/elasticsearch/elasticsearch-view-store.js';
import { MemoryViewStores } from '../../src/infrastructure/memory/memory-view-store.js';
import { openDatabase } from '../../src/infrastructure/postgres/connection/database.js';
import { PostgresViewStores } from '../../src/infrastructure/postgres/views/postgres-view-store.js';
import { elasticsearchSettings, forgetIndices, forgetTopics, kafkaConfig, kafkaSettings, notRun, runPrefix } from '../support/infra.js';
import { onEachPostgres, type TestDatabase } from '../support/postgres.js';
import { eventFeedContract } from './event-feed.contract.js';
import { viewStoreContract } from './view-store.contract.js';
import { eventCodec, upcasters } from '../../src/application/log/codec.js';
import { MemoryEventStore } from '../../src/infrastructure/memory/memory-event-store.js';
import { MemoryLogSignal } from '../../src/infrastructure/memory/memory-log-signal.js';
import { LogFeed } from '../../src/application/log/log-feed.js';
import { PostgresEventStore } from '../../src/infrastructure/postgres/log/postgres-event-store.js';
import { PostgresLogSignal } from '../../src/infrastructure/postgres/log/postgres-log-signal.js';
import { contexts } from '../../src/domain/events.js';
import { runRelay } from '../../src/application/log/relay.js';
import { connectKafka } from '../../src/infrastructure/kafka/server/kafka-client.js';
import { KafkaEventPublisher } from '../../src/infrastructure/kafka/events/kafka-event-publisher.js';
import { KafkaFeed } from '../../src/infrastructure/kafka/events/kafka-feed.js';
import { MemoryCheckpointStore } from '../../src/infrastructure/memory/memory-checkpoint-store.js';
import { partitions, quiet } from '../support/events.js';

viewStoreContract('memory', async () => ({ stores: new MemoryViewStores(), close: async () => undefined }));
onEachPostgres('views on postgres', (server) => {
  describe(`views on ${server.name}`, function () {
    this.timeout(60_000);
    let fresh: TestDatabase;
    before(async () => { fresh = await server.freshDatabase(); });
    after(() => fresh.drop());
    viewStoreContract(server.name, async () => {
      const database = openDatabase(fresh.url, 'views');
      const close = async () => {
        // A new database for each of these tests would take longer than the tests.
        const client = await database.connect('owner');
        await client.query("do $$ declare t text; begin for t in select tablename from pg_tables where schemaname = 'views' and tablename <> 'migrations' loop execute format('drop table %I', t); end loop; end $$");
        await client.end();
        await database.close();
      };
      return { stores: new PostgresViewStores(() => database), close };
    });
  });
});

if (elasticsearchSettings === undefined) notRun('ViewStore contract: elasticsearch');
else {
  const { ELASTICSEARCH_URL: url, ELASTICSEARCH_USERNAME: username, ELASTICSEARCH_PASSWORD: password, ELASTICSEARCH_CA: ca } = elasticsearchSettings;
  viewStoreContract('elasticsearch', async () => {
    const client = await connectElasticsearch({ url, username, password, ca, indexPrefix: runPrefix });
    const close = async () => {
      await forgetIndices(client, runPrefix);
      await client.close();
    };
    return { stores: new ElasticsearchViewStores(client, { indexPrefix: runPrefix, refreshEveryMs: 0 }), close };
  });
}

const codec = eventCodec(upcasters);
eventFeedContract('log in memory', async () => {
  const signal = new MemoryLogSignal();
  const stores = { customers: new MemoryEventStore('customers', codec, signal), orders: new MemoryEventStore('orders', codec, signal) };
  return { feed: new LogFeed(stores, signal, partitions), stores, close: async () => undefined };
});
onEachPostgres('EventFeed contract: log on postgres', (server) => {
  eventFeedContract(`log on ${server.name}`, async () => {
    const fresh = await server.freshDatabase();
    const databases = { customers: openDatabase(fresh.url, 'customers'), orders: openDatabase(fresh.url, 'orders') };
    const signal = new PostgresLogSignal(databases, new MemoryLogSignal());
    const stores = { customers: new PostgresEventStore(databases.customers, 'customers', codec, signal), orders: new PostgresEventStore(databases.orders, 'orders', codec, signal) };
    return {
      feed: new LogFeed(stores, signal, partitions), stores,
      close: async () => { await signal.close(); await databases.customers.close(); await databases.orders.close(); await fresh.drop(); },
    };
  });
});

if (kafkaSettings === undefined) notRun('EventFeed contract: kafka');
else {
  let runs = 0;
  eventFeedContract('kafka', async () => {
    const topicPrefix = `${runPrefix}-${++runs}.`;
    const signal = new MemoryLogSignal();
    const stores = { customers: new MemoryEventStore('customers', codec, signal), orders: new MemoryEventStore('orders', codec, signal) };
    const kafka = connectKafka(kafkaConfig(topicPrefix));
    const publisher = new KafkaEventPublisher(kafka, { topicPrefix, partitions });
    const stop = new AbortController();
    const published = { customers: 0, orders: 0 };
    const relays = contexts.map((context) => runRelay(context, { store: stores[context], checkpoints: new MemoryCheckpointStore(), signal, publisher, codec, partitions }, stop.signal,
      ({ position }) => { published[context] = position; }));
    return {
      feed: new KafkaFeed({ kafka, codec, stores: {}, logger: quiet, topicPrefix, partitions }), stores,
      given: async () => { while (published.orders < (await stores.orders.head()).position) await new Promise((resolve) => setTimeout(resolve, 5)); },
      close: async () => {
        stop.abort();
        await Promise.all(relays);
        await publisher.close();
        await forgetTopics(kafka, topicPrefix);
      },
    };
  });
}
