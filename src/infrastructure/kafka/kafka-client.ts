import { createRequire } from 'node:module';
import type { Kafka, logCreator } from 'kafkajs';
import type { Logger } from '../../application/ports/logger.js';

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

export function connectKafka({ brokers }: KafkaConfig, logger: Logger): Kafka {
  const { Kafka, logLevel } = loadKafkajs();
  return new Kafka({
    clientId: 'orderfold', brokers: [...brokers],
    connectionTimeout: 3_000, requestTimeout: 10_000,
    retry: { initialRetryTime: 100, maxRetryTime: 1_000, retries: 5 },
    logLevel: logLevel.ERROR, logCreator: into(logger),
  });
}

/** kafkajs says a lot about what passes by itself; what does not pass rejects, and is reported by whoever was waiting for it. */
function into(logger: Logger): logCreator {
  return () => ({ namespace, log: { message, error } }) => {
    logger.info({ namespace, error: error as unknown }, `kafka: ${message}`);
  };
}
