import { readFile, rm } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import { freePort } from '../../src/infrastructure/process/free-port.js';
import { join } from 'node:path';
import { makeCertificates } from '../../infra/certificates.js';
import { elasticsearchCommand, elasticsearchPidFile, startElasticsearch } from '../../infra/elasticsearch.js';
import { kafkaCommand, kafkaPidFile, startKafka } from '../../infra/kafka.js';
import { runningPid } from '../../infra/processes.js';
import { fetchSoftware } from '../../infra/software.js';
import { directory as infraDirectory, settingsOf } from '../../infra/state.js';
import type { KafkaConfig } from '../../src/infrastructure/kafka/server/kafka-client.js';
import { openEmbeddedPostgres } from '../../src/infrastructure/postgres/embedded/embedded-postgres.js';
import type { Environment } from '../support/cli.js';
import { kafkaRequests } from '../support/kafka.js';
import { elasticsearchSettings, kafkaConfig, kafkaSettings, runPrefix } from '../support/infra.js';
import { freshDatabase, temporaryDirectory } from '../support/postgres.js';
import { tcpProxy, type TcpProxy } from '../support/tcp-proxy.js';

export const serverNames = ['postgres', 'kafka', 'elasticsearch'] as const;
export type ServerName = (typeof serverNames)[number];

/** A server, and the proxy that the service reaches it through. */
export interface Server {
  proxy: TcpProxy;
  /** Ends it with kill -9; absent where it belongs to others as well. */
  kill?: () => Promise<void>;
  /** Resolves when it answers again. */
  start?: () => Promise<void>;
}

export interface Servers {
  /** What there is behind a proxy. */
  at: Partial<Record<ServerName, Server>>;
  /** The service's settings: everything through the proxies. */
  settings: Environment;
  /** The same, past the proxies. A server that was started again may have moved. */
  direct(): { databaseUrl: string; kafka: KafkaConfig; elasticsearch: { url: string; username: string; password: string; ca: string } };
  close(): Promise<void>;
}

/** Servers of our own, which may be killed. */
export async function ownServers(): Promise<Servers> {
  const directory = await temporaryDirectory();
  const software = await fetchSoftware(infraDirectory);
  const certificates = await makeCertificates(join(directory, 'certificates'));
  const ports = { broker: await freePort(), controller: await freePort(), elasticsearch: await freePort() };
  const passwords = { elastic: randomBytes(12).toString('hex'), application: randomBytes(12).toString('hex') };
  const proxies: TcpProxy[] = [];
  const behind = async (target: { host: string; port: number }, ...framing: [typeof kafkaRequests] | []) => {
    const proxy = await tcpProxy(target, ...framing);
    proxies.push(proxy);
    return proxy;
  };
  let postgres = await openEmbeddedPostgres(directory);
  const postgresTarget = { host: '127.0.0.1', port: Number(new URL(postgres.url).port) };
  const through = {
    postgres: await behind(postgresTarget),
    kafka: await behind({ host: '127.0.0.1', port: ports.broker }, kafkaRequests),
    elasticsearch: await behind({ host: '127.0.0.1', port: ports.elasticsearch }),
  };
  const start = {
    async postgres() {
      postgres = await openEmbeddedPostgres(directory);
      postgresTarget.port = Number(new URL(postgres.url).port);
    },
    kafka: () => startKafka(directory, software, { ...ports, advertised: through.kafka.port }),
    elasticsearch: () => startElasticsearch(directory, software, certificates, ports.elasticsearch, passwords),
  };
  const kill = {
    async postgres() { process.kill(Number((await readFile(join(directory, 'postgres/postmaster.pid'), 'utf8')).split('\n')[0]), 'SIGKILL'); },
    kafka: () => killGroup(kafkaPidFile(directory), kafkaCommand),
    elasticsearch: () => killGroup(elasticsearchPidFile(directory), elasticsearchCommand),
  };
  const close = async () => {
    for (const proxy of proxies) await proxy.close();
    await Promise.allSettled([kill.kafka(), kill.elasticsearch(), postgres.close()]);
    await rm(directory, { recursive: true, force: true });
  };
  try {
    await Promise.all([start.kafka(), start.elasticsearch()]);
  } catch (error) {
    await close();
    throw error;
  }
  const own = settingsOf({ ports, passwords });
  const elasticsearch = { username: own.ELASTICSEARCH_USERNAME, password: own.ELASTICSEARCH_PASSWORD, ca: certificates.ca };
  return {
    at: Object.fromEntries(serverNames.map((name) => [name, { proxy: through[name], kill: kill[name], start: start[name] }])),
    settings: {
      ...own,
      DATABASE_URL: postgres.url.replace(/:\d+\//, `:${through.postgres.port}/`),
      KAFKA_BROKERS: `127.0.0.1:${through.kafka.port}`, ELASTICSEARCH_URL: `https://127.0.0.1:${through.elasticsearch.port}`, ELASTICSEARCH_CA: certificates.ca,
    },
    // Kafka sends its clients to the proxy, whatever port they asked first.
    direct: () => ({ databaseUrl: postgres.url, kafka: { brokers: [`127.0.0.1:${ports.broker}`], topicPrefix: '' }, elasticsearch: { url: own.ELASTICSEARCH_URL, ...elasticsearch } }),
    close,
  };
}

/** The servers that run here anyway, with proxies where nobody else is disturbed by them; `undefined` where they do not run. */
export async function sharedServers(): Promise<Servers | undefined> {
  if (kafkaSettings === undefined || elasticsearchSettings === undefined) return undefined;
  const { ELASTICSEARCH_URL: url, ELASTICSEARCH_USERNAME: username, ELASTICSEARCH_PASSWORD: password, ELASTICSEARCH_CA: ca } = elasticsearchSettings;
  const database = await freshDatabase();
  const postgres = await tcpProxy({ host: '127.0.0.1', port: Number(new URL(database.url).port) });
  const elasticsearch = await tcpProxy({ host: '127.0.0.1', port: Number(new URL(url).port) });
  return {
    at: { postgres: { proxy: postgres }, elasticsearch: { proxy: elasticsearch } },
    settings: {
      ...elasticsearchSettings, DATABASE_URL: database.url.replace(/:\d+\//, `:${postgres.port}/`), ELASTICSEARCH_URL: `https://127.0.0.1:${elasticsearch.port}`,
      KAFKA_TOPIC_PREFIX: `${runPrefix}-servers.`, ELASTICSEARCH_INDEX_PREFIX: `${runPrefix}-servers`,
    },
    direct: () => ({ databaseUrl: database.url, kafka: kafkaConfig(), elasticsearch: { url, username, password, ca } }),
    async close() {
      await postgres.close();
      await elasticsearch.close();
      await database.drop();
    },
  };
}

/** The launcher of Elasticsearch and the server are one group. */
async function killGroup(pidFile: string, command: string): Promise<void> {
  const pid = await runningPid(pidFile, command);
  if (pid === undefined) return;
  process.kill(-pid, 'SIGKILL');
  while (await runningPid(pidFile, command) !== undefined) await new Promise((resolve) => setTimeout(resolve, 20));
}
