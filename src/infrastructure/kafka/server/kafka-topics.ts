import type { Admin, ITopicMetadata, Kafka } from 'kafkajs';
import type { Context } from '../../../domain/events.js';
import { OperatorError } from '../../process/operator-error.js';
import { leave, loadKafkajs } from './kafka-client.js';

/** Events are kept for ever: a late reader begins at the beginning. */
export const retention = { 'retention.ms': '-1', 'retention.bytes': '-1', 'cleanup.policy': 'delete' };

export function eventsTopic(prefix: string, context: Context): string {
  return `${prefix}${context}.events`;
}

export function commandsTopic(prefix: string, context: Context): string {
  return `${prefix}${context}.commands`;
}

interface TopicState {
  topic: string;
  /** 0: there is no such topic. */
  partitions: number;
  /** Settings that are not what they must be, as `name=value`. */
  drift: string[];
}

export async function topicState(admin: Admin, topic: string, settings: Readonly<Record<string, string>> = retention): Promise<TopicState> {
  const { ConfigResourceTypes } = loadKafkajs();
  const partitions = await partitionsOf(admin, topic);
  if (partitions === 0) return { topic, partitions, drift: [] };
  const { resources } = await admin.describeConfigs({
    includeSynonyms: false,
    resources: [{ type: ConfigResourceTypes.TOPIC, name: topic, configNames: Object.keys(settings) }],
  });
  const actual = new Map(resources.flatMap(({ configEntries }) => configEntries.map(({ configName, configValue }) => [configName, configValue])));
  const drift = Object.entries(settings)
    .filter(([name, value]) => actual.get(name) !== value)
    .map(([name]) => `${name}=${actual.get(name) ?? ''}`);
  return { topic, partitions, drift };
}

/** In a sentence for the operator: `name=value, name=value`. */
export function assignments(settings: Readonly<Record<string, string>>): string {
  return Object.entries(settings).map((entry) => entry.join('=')).join(', ');
}

/**
 * Makes the topic where it is missing, so that it keeps everything. `more`: further settings.
 * @throws OperatorError when the topic there has another number of partitions, or other settings
 */
export async function ensureTopic(kafka: Kafka, topic: string, partitions: number, more: Readonly<Record<string, string>> = {}): Promise<void> {
  const settings = { ...retention, ...more };
  const admin = kafka.admin();
  await admin.connect();
  try {
    if (await partitionsOf(admin, topic) === 0) {
      await admin.createTopics({
        // The loop below waits instead: kafkajs fails when the topic has not reached every broker yet.
        waitForLeaders: false,
        topics: [{
          topic,
          numPartitions: partitions,
          replicationFactor: -1,
          configEntries: Object.entries(settings).map(([name, value]) => ({ name, value })),
        }],
      }).catch((error: unknown) => {
        // Another process has just made it.
        if (!/already exists/i.test((error as Error).message)) throw error;
      });
      for (let tries = 0; tries < 50 && await partitionsOf(admin, topic) === 0; tries++) {
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
    const state = await topicState(admin, topic, settings);
    if (state.partitions !== partitions) {
      throw new OperatorError(`The topic ${topic} has ${state.partitions} partitions, and KAFKA_PARTITIONS is ${partitions}: `
        + `the number is fixed for a log's life, because positions are chained by partition. Set KAFKA_PARTITIONS=${state.partitions}.`);
    }
    if (state.drift.length > 0) {
      throw new OperatorError(`The topic ${topic} is not set up as it must be, or would forget what it holds (${state.drift.join(', ')}): `
        + `set ${assignments(settings)}.`);
    }
  } finally {
    await leave(admin);
  }
}

async function partitionsOf(admin: Admin, topic: string): Promise<number> {
  try {
    const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
    return topics.find(({ name }: ITopicMetadata) => name === topic)?.partitions.length ?? 0;
  } catch (error) {
    if ((error as { type?: string }).type === 'UNKNOWN_TOPIC_OR_PARTITION') return 0;
    throw error;
  }
}
