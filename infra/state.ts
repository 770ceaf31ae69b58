import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { packageRoot } from '../src/infrastructure/process/package-root.js';
import { applicationUser, elasticsearchCommand, elasticsearchPidFile } from './elasticsearch.js';
import { kafkaCommand, kafkaPidFile, kafkaUser } from './kafka.js';
import { runningPid } from './processes.js';

/** What was chosen when they were first started, and stays. */
export interface State {
  /** `secureBroker`: Kafka with TLS and a login; the other listener is for what reads along. */
  ports: { broker: number; controller: number; elasticsearch: number; secureBroker?: number };
  passwords: { elastic: string; application: string };
}

export const directory = resolve(process.env.INFRA_DIR ?? join(packageRoot, '.data/infra'));
export const stateFile = join(directory, 'state.json');
export const certificatesDirectory = join(directory, 'certificates');

export async function readState(): Promise<State | undefined> {
  return existsSync(stateFile) ? JSON.parse(await readFile(stateFile, 'utf8')) as State : undefined;
}

/** The service's settings for these servers. */
export function settingsOf({ ports, passwords }: State) {
  return {
    KAFKA_BROKERS: `127.0.0.1:${ports.secureBroker ?? ports.broker}`,
    ...(ports.secureBroker !== undefined && {
      KAFKA_TLS: 'true', KAFKA_CA: join(certificatesDirectory, 'ca.crt'), KAFKA_SASL_MECHANISM: 'scram-sha-512', KAFKA_USERNAME: kafkaUser, KAFKA_PASSWORD: passwords.application,
    }),
    ELASTICSEARCH_URL: `https://127.0.0.1:${ports.elasticsearch}`,
    ELASTICSEARCH_USERNAME: applicationUser,
    ELASTICSEARCH_PASSWORD: passwords.application,
    ELASTICSEARCH_CA: join(certificatesDirectory, 'ca.crt'),
  };
}

export async function runningServers(): Promise<{ kafka: boolean; elasticsearch: boolean }> {
  const [kafka, elasticsearch] = await Promise.all([runningPid(kafkaPidFile(directory), kafkaCommand), runningPid(elasticsearchPidFile(directory), elasticsearchCommand)]);
  return { kafka: kafka !== undefined, elasticsearch: elasticsearch !== undefined };
}
