import type { Client } from '@elastic/elasticsearch';
import type { Kafka } from 'kafkajs';
import { readState, runningServers, settingsOf } from '../../infra/state.js';
import { readConfig } from '../../src/infrastructure/process/config.js';
import type { KafkaConfig } from '../../src/infrastructure/kafka/server/kafka-client.js';
import type { Environment } from './cli.js';

const state = await readState();
const running = await runningServers();
const settings = state && settingsOf(state);

/** Settings of the real servers, where `npm run infra:up` has them running. */
export const kafkaSettings = running.kafka ? settings : undefined;
export const elasticsearchSettings = running.elasticsearch ? settings : undefined;

/** Its listener without TLS and login, for what reads along between client and broker. */
export const plainBroker = state && running.kafka ? `127.0.0.1:${state.ports.broker}` : undefined;

/** What is set for the other listener is not set. */
export const inTheClear = { KAFKA_TLS: '', KAFKA_CA: '', KAFKA_SASL_MECHANISM: '', KAFKA_USERNAME: '', KAFKA_PASSWORD: '' };

/** From these settings, or those of the real server. */
export function kafkaConfig(topicPrefix = '', settings: Environment | undefined = kafkaSettings): KafkaConfig {
  const { kafka } = readConfig({ ...settings, PROFILE: 'memory', FEED: 'kafka', VIEWS: 'memory', COMMAND_QUEUE: 'memory' });
  if (kafka === undefined) throw new Error('Kafka is not configured');
  return { ...kafka, topicPrefix };
}

/** The same for the adapters, with names that belong to this test run alone. */
export const realServers = settings && running.kafka && running.elasticsearch ? {
  kafka: kafkaConfig(`orderfold-test-${process.pid}.`),
  elasticsearch: {
    url: settings.ELASTICSEARCH_URL, username: settings.ELASTICSEARCH_USERNAME, password: settings.ELASTICSEARCH_PASSWORD, ca: settings.ELASTICSEARCH_CA,
    indexPrefix: `orderfold-test-${process.pid}`,
  },
} : undefined;

/** Names that belong to this test run alone. */
export const runPrefix = `orderfold-test-${process.pid}`;

export { notRun } from './not-run.js';

export async function forgetTopics(kafka: Kafka, prefix: string): Promise<void> {
  const admin = kafka.admin();
  await admin.connect();
  try {
    const topics = (await admin.listTopics()).filter((topic) => topic.startsWith(prefix));
    if (topics.length > 0) await admin.deleteTopics({ topics });
    const groups = (await admin.listGroups()).groups.map(({ groupId }) => groupId).filter((group) => group.startsWith(prefix));
    if (groups.length > 0) await admin.deleteGroups(groups).catch(() => undefined);
  } finally {
    await admin.disconnect();
  }
}

export async function forgetIndices(client: Client, prefix: string): Promise<void> {
  const names = Object.keys(await client.indices.get({ index: `${prefix}-*` }));
  if (names.length > 0) await client.indices.delete({ index: names });
}
