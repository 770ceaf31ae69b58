import { connectElasticsearch } from '../../src/infrastructure/elasticsearch/elasticsearch-client.js';
import { connectKafka } from '../../src/infrastructure/kafka/server/kafka-client.js';
import type { Environment } from './cli.js';
import { elasticsearchSettings, forgetTopics, kafkaConfig, kafkaSettings, runPrefix } from './infra.js';

/** What belongs to one production installation on servers that it shares with others. */
export interface Installation {
  /** For every process of it; the databases are not among them. */
  settings: Environment;
  /** Removes its topics, groups and indices. */
  forget(): Promise<void>;
}

/** `undefined` where Kafka and Elasticsearch do not both run. `settings` win. */
export function installation(name: string, settings: Environment = {}): Installation | undefined {
  if (kafkaSettings === undefined || elasticsearchSettings === undefined) return undefined;
  const shared = { ...elasticsearchSettings, ...kafkaSettings };
  const topicPrefix = `${runPrefix}-${name}.`;
  const indexPrefix = `${runPrefix}-${name}`;
  return {
    settings: {
      PROFILE: 'production', LOG_LEVEL: 'fatal', CURSOR_SECRET: 'the same secret for every process of it', ...shared,
      KAFKA_TOPIC_PREFIX: topicPrefix, ELASTICSEARCH_INDEX_PREFIX: indexPrefix, ...settings,
    },
    async forget() {
      await forgetTopics(connectKafka(kafkaConfig(topicPrefix, { ...shared, ...settings })), topicPrefix);
      const { ELASTICSEARCH_URL: url, ELASTICSEARCH_USERNAME: username, ELASTICSEARCH_PASSWORD: password, ELASTICSEARCH_CA: ca } = shared;
      const client = await connectElasticsearch({ url, username, password, ca, indexPrefix });
      const names = Object.keys(await client.indices.get({ index: `${indexPrefix}-*` }));
      if (names.length > 0) await client.indices.delete({ index: names });
      await client.close();
    },
  };
}
