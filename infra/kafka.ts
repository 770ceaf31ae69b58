import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Kafka, logLevel, type Admin } from 'kafkajs';
import { loadKafkajs } from '../src/infrastructure/kafka/server/kafka-client.js';
import type { Certificates } from './certificates.js';
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

/** What the listener with TLS and a login needs. */
const loginSettings = {
  'sasl.enabled.mechanisms': 'SCRAM-SHA-512,SCRAM-SHA-256,PLAIN',
  'ssl.keystore.type': 'PEM',
  'ssl.truststore.type': 'PEM',
  'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
};

/** What the application's user may do, with topics and groups of its own and with nothing else; docker-compose.yml has the same. */
export const applicationRights = {
  topic: ['Create', 'Describe', 'DescribeConfigs', 'Read', 'Write', 'Delete'],
  group: ['Describe', 'Read', 'Delete'],
} as const;

export const kafkaUser = 'orderfold';

/** A second listener: who comes there needs TLS and a login. */
export interface Login { port: number; certificates: Certificates; password: string }

/** A broker that is its own controller, on 127.0.0.1. Clients are sent to the port `advertised`, where something in front of it listens. */
export async function startKafka(directory: string, { javaHome, kafka }: Software, ports: { broker: number; controller: number; advertised?: number }, login?: Login): Promise<void> {
  const home = join(directory, 'kafka');
  const data = join(home, 'data');
  const properties = join(home, 'server.properties');
  await mkdir(home, { recursive: true });
  const secure = login === undefined ? [] : [`SASL_SSL://127.0.0.1:${login.port}`];
  const settings = {
    'process.roles': 'broker,controller',
    'node.id': '1',
    'controller.quorum.voters': `1@127.0.0.1:${ports.controller}`,
    'controller.listener.names': 'CONTROLLER',
    'listener.security.protocol.map': 'CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL',
    listeners: [`PLAINTEXT://127.0.0.1:${ports.broker}`, ...secure, `CONTROLLER://127.0.0.1:${ports.controller}`].join(','),
    'advertised.listeners': [`PLAINTEXT://127.0.0.1:${ports.advertised ?? ports.broker}`, ...secure].join(','),
    ...(login !== undefined && await secured(home, login)),
    'log.dirs': data,
    // One machine, one broker: consumer groups need not wait for others to join.
    'offsets.topic.num.partitions': '8',
    'group.initial.rebalance.delay.ms': '0',
    ...brokerSettings,
  };
  await writeFile(properties, Object.entries(settings).map(([name, value]) => `${name}=${value}\n`).join(''), { mode: 0o600 });
  const java = join(javaHome, 'bin/java');
  const classPath = ['-cp', join(kafka, '*')];
  if (!existsSync(join(data, 'meta.properties'))) {
    await format(home, [java, ...classPath], properties, login);
  }
  await startServer({
    name: 'Kafka', command: java, args: ['-Xms256m', '-Xmx768m', '-XX:+UseG1GC', ...classPath, 'kafka.Kafka', properties],
    cwd: home, env: { PATH: process.env.PATH ?? '' }, pidFile: kafkaPidFile(directory), logFile: join(home, 'server.log'),
    ready: () => checkKafka(ports.broker),
  });
  if (login !== undefined) await allow(ports.broker);
}

/** Who comes to the other listener, from this machine alone, may do everything. */
async function secured(home: string, { certificates, password }: Login): Promise<Record<string, string>> {
  const keystore = join(home, 'keystore.pem');
  await writeFile(keystore, await readFile(certificates.key, 'utf8') + await readFile(certificates.certificate, 'utf8'), { mode: 0o600 });
  const here = 'listener.name.sasl_ssl';
  return {
    ...loginSettings,
    'ssl.keystore.location': keystore,
    'ssl.truststore.location': certificates.ca,
    'super.users': 'User:ANONYMOUS',
    // A certificate of the client is not needed, and checked where there is one.
    [`${here}.ssl.client.auth`]: 'requested',
    // Short, so that whoever uses it has to log in again while it does.
    [`${here}.connections.max.reauth.ms`]: '30000',
    [`${here}.scram-sha-512.sasl.jaas.config`]: 'org.apache.kafka.common.security.scram.ScramLoginModule required;',
    [`${here}.scram-sha-256.sasl.jaas.config`]: 'org.apache.kafka.common.security.scram.ScramLoginModule required;',
    [`${here}.plain.sasl.jaas.config`]: `org.apache.kafka.common.security.plain.PlainLoginModule required user_${kafkaUser}="${password}";`,
  };
}

/** Through a file: arguments are for everybody to see. */
async function format(home: string, java: readonly [string, ...string[]], properties: string, login: Login | undefined): Promise<void> {
  const file = join(home, 'format.arguments');
  const users = login === undefined ? [] : ['SCRAM-SHA-512', 'SCRAM-SHA-256'].flatMap((mechanism) => ['--add-scram', `${mechanism}=[name=${kafkaUser},password=${login.password}]`]);
  await writeFile(file, ['format', '--cluster-id', randomUUID().replaceAll('-', '').slice(0, 22), '--config', properties, ...users].join('\n'), { mode: 0o600 });
  try {
    const [command, ...args] = java;
    await run(command, [...args, 'kafka.tools.StorageTool', `@${file}`]);
  } finally {
    await rm(file);
  }
}

async function allow(port: number): Promise<void> {
  const { AclOperationTypes, AclPermissionTypes, AclResourceTypes, ResourcePatternTypes } = loadKafkajs();
  const operations = {
    Create: AclOperationTypes.CREATE, Describe: AclOperationTypes.DESCRIBE, DescribeConfigs: AclOperationTypes.DESCRIBE_CONFIGS,
    Read: AclOperationTypes.READ, Write: AclOperationTypes.WRITE, Delete: AclOperationTypes.DELETE,
  };
  await asAdmin(port, async (admin) => {
    await admin.createAcls({
      acl: [
        ...applicationRights.topic.map((right) => ({ resourceType: AclResourceTypes.TOPIC, operation: operations[right] })),
        ...applicationRights.group.map((right) => ({ resourceType: AclResourceTypes.GROUP, operation: operations[right] })),
      ].map((right) => ({ ...right, resourceName: kafkaUser, resourcePatternType: ResourcePatternTypes.PREFIXED, principal: `User:${kafkaUser}`, host: '*', permissionType: AclPermissionTypes.ALLOW })),
    });
  });
}

export const kafkaCommand = 'kafka.Kafka';

export function kafkaPidFile(directory: string): string {
  return join(directory, 'kafka.pid');
}

export async function checkKafka(port: number): Promise<void> {
  await asAdmin(port, async (admin) => {
    await admin.describeCluster();
    // It makes the place for the groups' offsets when it is first asked, and nobody can join one before.
    await admin.fetchOffsets({ groupId: 'infra' });
  });
}

async function asAdmin(port: number, work: (admin: Admin) => Promise<void>): Promise<void> {
  const admin = new Kafka({ clientId: 'infra', brokers: [`127.0.0.1:${port}`], connectionTimeout: 1_000, retry: { retries: 0 }, logLevel: logLevel.NOTHING }).admin();
  try {
    await admin.connect();
    await work(admin);
  } finally {
    await admin.disconnect();
  }
}
