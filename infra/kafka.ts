import { randomUUID } from 'node:crypto';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Kafka, logLevel } from 'kafkajs';
import { startServer } from './processes.js';
import type { Software } from './software.js';

const run = promisify(execFile);

/** The settings that matter to the service; docker-compose.yml has the same. */
export const brokerSettings = {
  'auto.create.topics.enable': 'false',
  'offsets.topic.replication.factor': '1',
  'transaction.state.log.replication.factor': '1',
  'transaction.state.log.min.isr': '1',
};

/** A broker that is its own controller, on 127.0.0.1. `advertised`: the port that clients are sent to, where it is not the broker's own. */
export async function startKafka(directory: string, { javaHome, kafka }: Software, ports: { broker: number; controller: number; advertised?: number }): Promise<void> {
  const home = join(directory, 'kafka');
  const data = join(home, 'data');
  const properties = join(home, 'server.properties');
  await mkdir(home, { recursive: true });
  const settings = {
    'process.roles': 'broker,controller',
    'node.id': '1',
    'controller.quorum.voters': `1@127.0.0.1:${ports.controller}`,
    'controller.listener.names': 'CONTROLLER',
    listeners: `PLAINTEXT://127.0.0.1:${ports.broker},CONTROLLER://127.0.0.1:${ports.controller}`,
    ...(ports.advertised !== undefined && { 'advertised.listeners': `PLAINTEXT://127.0.0.1:${ports.advertised}` }),
    'log.dirs': data,
    // One machine, one broker: consumer groups need not wait for others to join.
    'offsets.topic.num.partitions': '8',
    'group.initial.rebalance.delay.ms': '0',
    ...brokerSettings,
  };
  await writeFile(properties, Object.entries(settings).map(([name, value]) => `${name}=${value}\n`).join(''));
  const java = join(javaHome, 'bin/java');
  const classPath = ['-cp', join(kafka, '*')];
  if (!existsSync(join(data, 'meta.properties'))) {
    await run(java, [...classPath, 'kafka.tools.StorageTool', 'format', '--cluster-id', randomUUID().replaceAll('-', '').slice(0, 22), '--config', properties]);
  }
  await startServer({
    name: 'Kafka', command: java, args: ['-Xms256m', '-Xmx768m', '-XX:+UseG1GC', ...classPath, 'kafka.Kafka', properties],
    cwd: home, env: { PATH: process.env.PATH ?? '' }, pidFile: kafkaPidFile(directory), logFile: join(home, 'server.log'),
    ready: () => checkKafka(ports.broker),
  });
}

export const kafkaCommand = 'kafka.Kafka';

export function kafkaPidFile(directory: string): string {
  return join(directory, 'kafka.pid');
}

export async function checkKafka(port: number): Promise<void> {
  const admin = new Kafka({ clientId: 'infra', brokers: [`127.0.0.1:${port}`], connectionTimeout: 1_000, retry: { retries: 0 }, logLevel: logLevel.NOTHING }).admin();
  try {
    await admin.connect();
    await admin.describeCluster();
  } finally {
    await admin.disconnect();
  }
}
