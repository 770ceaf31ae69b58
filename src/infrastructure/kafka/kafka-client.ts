import { createRequire } from 'node:module';
import type { Kafka } from 'kafkajs';

export interface KafkaConfig {
  /** `host:port`, one or more. */
  brokers: readonly string[];
  /** Begins the name of every topic and consumer group. */
  topicPrefix: string;
}

const require = createRequire(import.meta.url);

/** Loaded at first use: the other profiles do without it. An `import` would not see all that this CommonJS module exports. */
export function loadKafkajs(): typeof import('kafkajs') {
  return require('kafkajs') as typeof import('kafkajs');
}

export function connectKafka({ brokers }: KafkaConfig): Kafka {
  const { Kafka, logLevel } = loadKafkajs();
  return new Kafka({
    clientId: 'orderfold', brokers: [...brokers],
    connectionTimeout: 3_000, requestTimeout: 10_000,
    retry: { initialRetryTime: 100, maxRetryTime: 1_000, retries: 5 },
    // It says a lot about what passes by itself; what does not pass rejects, and is reported by whoever waited for it.
    logLevel: logLevel.NOTHING,
  });
}
