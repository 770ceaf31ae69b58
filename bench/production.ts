import { spawn, type ChildProcess } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import type { Client } from '@elastic/elasticsearch';
import type { Kafka } from 'kafkajs';
import { connectElasticsearch } from '../src/infrastructure/elasticsearch/elasticsearch-client.js';
import { connectKafka } from '../src/infrastructure/kafka/server/kafka-client.js';
import { eventsTopic } from '../src/infrastructure/kafka/server/kafka-topics.js';
import { MemoryLogSignal } from '../src/infrastructure/memory/memory-log-signal.js';
import { packageRoot } from '../src/infrastructure/process/package-root.js';
import { openDatabase } from '../src/infrastructure/postgres/connection/database.js';
import { PostgresEventStore } from '../src/infrastructure/postgres/log/postgres-event-store.js';
import { elasticsearchSettings, forgetIndices, forgetTopics, inTheClear, plainBroker } from '../test/support/infra.js';
import { freshDatabase } from '../test/support/postgres.js';
import type { Measurement } from './figures.js';
import { codec, fill } from './history.js';

const backlog = 200_000;
const commandsPerSecond = 300;
const steadySeconds = 60;
/** Every so many placed orders, one is looked for. */
const sampleEvery = 24;
const lookEveryMs = 25;
let installations = 0;

// The production profile on this machine, each role a process of its own.

export function benchBacklog(): Promise<Measurement[]> {
  return withInstallation(catchingUp);
}

export function benchSteadyLoad(): Promise<Measurement[]> {
  return withInstallation(steadily);
}

/** Databases, topics and indices of one measurement, and its processes. */
interface Installation {
  settings: Record<string, string>;
  name: string;
  kafka: Kafka;
  client: Client;
  ordersUrl: string;
  start(roles: string, contexts: string): Promise<Role>;
}

async function withInstallation<T>(measure: (installation: Installation) => Promise<T>): Promise<T> {
  if (plainBroker === undefined || elasticsearchSettings === undefined) throw new Error('Kafka and Elasticsearch are needed: npm run infra:up');
  const name = `orderfold-bench-${process.pid}-${++installations}`;
  const [customers, orders] = await Promise.all([freshDatabase(), freshDatabase()]);
  const settings = {
    ...elasticsearchSettings, ...inTheClear, KAFKA_BROKERS: plainBroker, PROFILE: 'production', CUSTOMERS_DATABASE_URL: customers.url, ORDERS_DATABASE_URL: orders.url,
    KAFKA_TOPIC_PREFIX: `${name}.`, ELASTICSEARCH_INDEX_PREFIX: name, CURSOR_SECRET: 'x'.repeat(40), LOG_LEVEL: 'error', PORT: '0',
  };
  const kafka = connectKafka({ brokers: settings.KAFKA_BROKERS.split(','), topicPrefix: settings.KAFKA_TOPIC_PREFIX });
  const client = await connectElasticsearch({
    url: settings.ELASTICSEARCH_URL, username: settings.ELASTICSEARCH_USERNAME, password: settings.ELASTICSEARCH_PASSWORD, ca: settings.ELASTICSEARCH_CA, indexPrefix: name,
  });
  const running: Role[] = [];
  try {
    return await measure({
      settings, name, kafka, client, ordersUrl: orders.url,
      async start(roles, contexts) {
        const role = await Role.start(roles, { ...settings, ROLES: roles, CONTEXTS: contexts });
        running.push(role);
        return role;
      },
    });
  } finally {
    await Promise.all(running.map((role) => role.stop()));
    await forgetTopics(kafka, settings.KAFKA_TOPIC_PREFIX);
    await forgetIndices(client, name);
    await client.close();
    await Promise.all([customers.drop(), orders.drop()]);
  }
}

async function catchingUp({ settings, name, kafka, client, ordersUrl, start }: Installation): Promise<Measurement[]> {
  await fillOrders(ordersUrl);
  const admin = kafka.admin();
  await admin.connect();
  const topic = eventsTopic(settings.KAFKA_TOPIC_PREFIX ?? '', 'orders');
  const relay = await start('relay', 'orders');
  const relayed = await rate(backlog, async () => (await admin.fetchTopicOffsets(topic).catch(() => [])).reduce((sum, { high }) => sum + Number(high), 0));
  await admin.disconnect();
  const projector = await start('projector', 'orders');
  const folded = await rate(backlog, async () => {
    const { _source } = await client.get<{ progress: { sources: Record<string, { position: number }> } }>({ index: `${name}-orders-r1`, id: '~progress' }, { ignore: [404] });
    return Math.max(0, ...Object.values(_source?.progress.sources ?? {}).map(({ position }) => position));
  });
  return [
    { name: `relay ${backlog.toLocaleString('en')} events from the log to Kafka`, unit: 'events/s', values: [relayed] },
    { name: `fold ${backlog.toLocaleString('en')} events from Kafka into the \`orders\` view in Elasticsearch`, unit: 'events/s', values: [folded] },
    memoryOf('relay, having caught up', relay), memoryOf('projector, having caught up', projector),
  ];
}

async function steadily({ start }: Installation): Promise<Measurement[]> {
  const both = 'customers,orders';
  const roles = [await start('api', both), await start('relay,policies', both), await start('projector', both)];
  const latencies = await steadyLoad(roles[0]?.url ?? '');
  const at = (share: number) => latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))] ?? Number.NaN;
  const load = `at ${commandsPerSecond} commands/s for ${steadySeconds} s (${latencies.length} looked for)`;
  return [
    { name: `searchable after the command's answer, p50, ${load}`, unit: 'ms', values: [at(0.5)] },
    { name: `searchable after the command's answer, p99, ${load}`, unit: 'ms', values: [at(0.99)] },
    ...['api', 'relay and policies', 'projector'].map((role, index) => memoryOf(`${role}, under that load`, roles[index])),
  ];
}

async function fillOrders(url: string): Promise<void> {
  const database = openDatabase(url, 'orders');
  try {
    await fill(new PostgresEventStore(database, 'orders', codec, new MemoryLogSignal(), { queue: Infinity }), backlog);
  } finally {
    await database.close();
  }
}

/** How fast `count` gets to `target`, from the first moment at which it is above 0. */
async function rate(target: number, count: () => Promise<number>): Promise<number> {
  let first: { count: number; at: number } | undefined;
  for (;;) {
    const now = await count();
    const at = performance.now();
    if (now > 0) first ??= { count: now, at };
    if (first !== undefined && now >= target) return (now - first.count) * 1_000 / (at - first.at);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Orders are placed, paid and shipped at a fixed rate, however long the answers take. @returns milliseconds from a command's answer until a search found it, sorted */
async function steadyLoad(url: string): Promise<number[]> {
  const agent = new Agent({ keepAlive: true });
  const send = (path: string, body: object) => ask(agent, url + path, JSON.stringify(body));
  const customers = Array.from({ length: 200 }, (_, n) => `c-${n}`);
  for (const customerId of customers) await send('/customers', { customerId, name: `Customer ${customerId}`, currency: 'EUR', creditLimitMinor: null });
  await new Promise((resolve) => setTimeout(resolve, 3_000));

  const latencies: number[] = [];
  const placed: { orderId: string; at: number }[] = [];
  const open = new Set<Promise<void>>();
  let failed = 0;
  let broken: Error | undefined;
  const place = async (n: number) => {
    const orderId = `order-${String(n).padStart(6, '0')}`;
    const answer = await send('/orders', {
      orderId, customerId: customers[n % customers.length], currency: 'EUR',
      lines: [{ sku: `sku-${n % 211}`, name: 'Oak chair, oiled', quantity: 1 + n % 3, unitPriceMinor: 4_490 }], shippingMinor: 490,
    });
    if (answer.status !== 201) { failed++; return; }
    const answered = performance.now();
    placed.push({ orderId, at: answered });
    if (n % sampleEvery !== 0) return;
    for (;;) {
      const found = JSON.parse((await ask(agent, `${url}/orders?q=${orderId}&limit=1`)).text) as { items: { orderId: string }[] };
      if (found.items[0]?.orderId === orderId) break;
      if (performance.now() - answered > 10_000) throw new Error(`${orderId} cannot be found after 10 s`);
      await new Promise((resolve) => setTimeout(resolve, lookEveryMs));
    }
    latencies.push(performance.now() - answered);
  };
  const settle = async (n: number) => {
    const order = placed.shift();
    if (order === undefined) return place(n);
    // By then it has been approved.
    if (performance.now() - order.at < 2_000) { placed.unshift(order); return place(n); }
    const { status } = await send(`/orders/${order.orderId}/${n % 2 === 0 ? 'pay' : 'ship'}`, n % 2 === 0 ? { paymentReference: 'bench' } : {});
    if (status !== 200) failed++;
  };
  const began = performance.now();
  for (let n = 0; n < commandsPerSecond * steadySeconds; n++) {
    const due = began + n * 1_000 / commandsPerSecond - performance.now();
    if (due > 1) await new Promise((resolve) => setTimeout(resolve, due));
    const work: Promise<void> = (n % 2 === 0 ? place(n) : settle(n)).catch((error: unknown) => { broken ??= error as Error; }).finally(() => { open.delete(work); });
    open.add(work);
    if (broken !== undefined) break;
  }
  await Promise.all(open);
  if (broken !== undefined) throw broken;
  const seconds = (performance.now() - began) / 1_000;
  if (failed > 0) throw new Error(`${failed} commands were refused`);
  if (seconds > steadySeconds * 1.05) throw new Error(`the load took ${seconds.toFixed(0)} s instead of ${steadySeconds}: this machine is too slow for it now`);
  return latencies.sort((a, b) => a - b);
}

/** POST with a body, GET without; `fetch` would take as much of the machine as the service. */
function ask(agent: Agent, url: string, body?: string): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const asking = request(url, { agent, method: body === undefined ? 'GET' : 'POST', headers: body === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) } }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (chunk: string) => { text += chunk; }).on('end', () => { resolve({ status: answer.statusCode ?? 0, text }); });
    });
    asking.on('error', reject).end(body);
  });
}

/** A process of the service, and its memory every second. */
class Role {
  readonly memory: number[] = [];

  private constructor(private readonly child: ChildProcess, private readonly sampling: NodeJS.Timeout, readonly url: string) {}

  static async start(name: string, environment: Record<string, string>): Promise<Role> {
    const child = spawn(process.execPath, [join(packageRoot, 'dist/interfaces/cli/main.js'), 'serve'], { env: { PATH: process.env.PATH, ...environment }, stdio: ['ignore', 'pipe', 'inherit'] });
    const url = await new Promise<string>((resolve, reject) => {
      let banner = '';
      child.stdout.on('data', (chunk: Buffer) => {
        banner += chunk.toString();
        const [found] = /http:\/\/127\.0\.0\.1:\d+|is running/.exec(banner) ?? [];
        if (found !== undefined) resolve(found);
      });
      child.once('exit', (code) => { reject(new Error(`${name} ended with ${code ?? 'a signal'}`)); });
    });
    const role: Role = new Role(child, setInterval(() => { void role.sample(); }, 1_000), url);
    return role;
  }

  async sample(): Promise<void> {
    const status = await readFile(`/proc/${this.child.pid ?? 0}/status`, 'utf8').catch(() => '');
    const [, kilobytes] = /^VmRSS:\s+(\d+) kB$/m.exec(status) ?? [];
    if (kilobytes !== undefined) this.memory.push(Number(kilobytes) / 1_024);
  }

  async stop(): Promise<void> {
    clearInterval(this.sampling);
    if (this.child.exitCode !== null) return;
    const ended = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.kill('SIGTERM');
    await ended;
  }
}

function memoryOf(what: string, role: Role | undefined): Measurement {
  return { name: `resident memory of ${what}`, unit: 'MiB', values: role?.memory ?? [] };
}
