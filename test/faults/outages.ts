import { rm } from 'node:fs/promises';
import { kafkaCommand, kafkaPidFile, startKafka } from '../../infra/kafka.js';
import { stopServer } from '../../infra/processes.js';
import { freePort } from '../../src/infrastructure/process/free-port.js';
import { fetchSoftware } from '../../infra/software.js';
import { directory as infraDirectory } from '../../infra/state.js';
import { serve, type Environment, type Running } from '../support/cli.js';
import { inTheClear } from '../support/infra.js';
import { installation } from '../support/installation.js';
import { differencesFromLog } from '../support/naive-fold.js';
import { freshDatabase, temporaryDirectory, type TestDatabase } from '../support/postgres.js';
import { ask, eventually } from '../support/service.js';
import { proxied, tcpProxy, type TcpProxy } from '../support/tcp-proxy.js';
import { fail } from './support.js';

// Elasticsearch, then Kafka, goes away under load and comes back. Commands must not notice; the views must make up for it without help.

const clients = 6;
const pauseMs = 50;
const convergeMs = 60_000;

/** @returns what was seen; throws when a promise was broken */
export async function outages({ seconds }: { seconds: number }): Promise<string> {
  return `${await elasticsearchOutage({ seconds })}; ${await kafkaOutage({ seconds })}`;
}

export async function elasticsearchOutage({ seconds }: { seconds: number }): Promise<string> {
  const found = installation('no-search') ?? fail('Kafka and Elasticsearch are needed: npm run infra:up');
  const { proxy, url } = await proxied(found.settings.ELASTICSEARCH_URL ?? '');
  try {
    // A customer that is registered now can order now: the copy is in PostgreSQL, and Kafka carries on.
    return `Elasticsearch away for ${seconds} s: ${await outage({ ...found.settings, ELASTICSEARCH_URL: url }, proxy, seconds, true)}`;
  } finally {
    await proxy.close();
    await found.forget();
  }
}

export async function kafkaOutage({ seconds }: { seconds: number }): Promise<string> {
  const home = await temporaryDirectory();
  const ports = { broker: await freePort(), controller: await freePort() };
  const proxy = await tcpProxy({ host: '127.0.0.1', port: ports.broker });
  const found = installation('no-feed', { ...inTheClear, KAFKA_BROKERS: `127.0.0.1:${proxy.port}` }) ?? fail('Kafka and Elasticsearch are needed: npm run infra:up');
  try {
    await startKafka(home, await fetchSoftware(infraDirectory), { ...ports, advertised: proxy.port });
    // Orders of customers who are known already: the copy learns of new ones through Kafka.
    return `Kafka away for ${seconds} s: ${await outage(found.settings, proxy, seconds, false)}`;
  } finally {
    await found.forget();
    await proxy.close();
    await stopServer(kafkaPidFile(home), kafkaCommand);
    await rm(home, { recursive: true, force: true });
  }
}

async function outage(settings: Environment, proxy: TcpProxy, seconds: number, searchIsAway: boolean): Promise<string> {
  const fresh = await freshDatabase();
  const directory = await temporaryDirectory();
  let running: Running | undefined;
  try {
    running = await serve({ ...settings, DATA_DIR: directory, DATABASE_URL: fresh.url });
    return await trial(running.url, fresh, proxy, seconds, searchIsAway);
  } finally {
    await running?.stop();
    await fresh.drop();
    await rm(directory, { recursive: true, force: true });
  }
}

async function trial(url: string, fresh: TestDatabase, proxy: TcpProxy, seconds: number, searchIsAway: boolean): Promise<string> {
  const tokens = new Map<string, string>();
  for (let client = 0; client < clients; client++) await register(url, `known-${client}`, tokens);
  for (const [id, token] of tokens) await place(url, `first-${id}`, id, token);
  const before = new Load(url, tokens, searchIsAway);
  await wait(2_000);
  const usual = await before.end();

  proxy.cut();
  const during = new Load(url, tokens, searchIsAway);
  let asked = 0;
  for (const end = performance.now() + seconds * 1_000; performance.now() < end; asked++) {
    const list = await ask(url, 'GET', '/orders?limit=1');
    if (searchIsAway && (list.status !== 503 || list.body.type !== '/problems/view.unavailable')) fail(`a search was answered with ${list.status} ${list.text}`);
    if (!searchIsAway && list.status !== 200) fail(`a view that needs no Kafka was answered with ${list.status} ${list.text}`);
    const live = await ask(url, 'GET', '/health/ready');
    if (live.status !== 200) fail(`readiness is ${live.status} although commands are served: ${live.text}`);
    await wait(500);
  }
  const away = await during.end();
  const lagMs = searchIsAway ? 0 : Number((await ask(url, 'GET', '/orders?limit=1')).headers.get('view-lag-ms'));
  if (!searchIsAway && lagMs < seconds * 500) fail(`a view that has had no news for ${seconds} s says that it is ${lagMs} ms behind`);

  proxy.restore();
  const restored = performance.now();
  const afterwards = new Load(url, tokens, true);
  await wait(1_000);
  const recovering = await afterwards.end();
  const orders = clients + usual.orders + away.orders + recovering.orders;
  await eventually('the views have caught up and every order is decided', async () => {
    const { status, body } = await ask(url, 'GET', '/orders?facets=status&limit=1');
    return status === 200 && body.total === orders && !body.facets.status.some(({ key }: { key: string }) => key === 'placed');
  }, convergeMs, 100);
  const convergedMs = performance.now() - restored;
  const databases = { customers: fresh.url, orders: fresh.url };
  await eventually('the views are what the logs make of them', async () => (await differencesFromLog({ customers: url, orders: url }, databases)).length === 0, convergeMs, 500)
    .catch(async () => fail(`the views are not what the logs make of them: ${(await differencesFromLog({ customers: url, orders: url }, databases)).slice(0, 3).join('\n')}`));
  return `${usual.commands} commands before, ${away.commands} meanwhile (p99 ${p99(usual.waits)} and ${p99(away.waits)} ms), none refused; ${asked} queries meanwhile; `
    + `${orders} orders in the views and decided ${(convergedMs / 1_000).toFixed(1)} s after it was back, as a naive fold has them`;
}

/** Clients that change customers and place orders until they are told to end. Nothing that they ask for may fail. */
class Load {
  private stopped = false;
  private commands = 0;
  private orders = 0;
  private readonly waits: number[] = [];
  private readonly clients: Promise<void>[];

  constructor(private readonly url: string, private readonly tokens: Map<string, string>, private readonly withNewCustomers: boolean) {
    this.clients = Array.from({ length: clients }, (_, client) => this.run(client));
    for (const client of this.clients) client.catch(() => undefined);
  }

  async end(): Promise<{ commands: number; orders: number; waits: number[] }> {
    this.stopped = true;
    await Promise.all(this.clients);
    return { commands: this.commands, orders: this.orders, waits: this.waits };
  }

  private async run(client: number): Promise<void> {
    for (let n = 0; !this.stopped; n++) {
      let id = `known-${client}`;
      if (this.withNewCustomers && n % 2 === 0) {
        id = `${client}-${Math.round(performance.now() * 1_000)}`;
        await this.timed(() => register(this.url, id, this.tokens));
      } else await this.timed(() => command(this.url, 'PUT', `/customers/${id}/credit-limit`, { creditLimitMinor: 1_000_000 + n }));
      await this.timed(() => place(this.url, `${id}-${Math.round(performance.now() * 1_000)}`, id, this.withNewCustomers ? this.tokens.get(id) : undefined));
      this.orders++;
      await wait(pauseMs);
    }
  }

  private async timed(work: () => Promise<unknown>): Promise<void> {
    const began = performance.now();
    await work();
    this.commands++;
    this.waits.push(performance.now() - began);
  }
}

async function register(url: string, customerId: string, tokens: Map<string, string>): Promise<void> {
  tokens.set(customerId, await command(url, 'POST', '/customers', { customerId, name: `Name of ${customerId}`, currency: 'EUR' }));
}

function place(url: string, orderId: string, customerId: string, token?: string): Promise<string> {
  const body = { orderId, customerId, currency: 'EUR', lines: [{ sku: 's', name: 'S', quantity: 1, unitPriceMinor: 10 }] };
  return command(url, 'POST', '/orders', body, token === undefined ? {} : { 'consistency-token': token, prefer: 'wait=20' });
}

/** @returns the Consistency-Token */
async function command(url: string, method: string, path: string, body: object, headers: Record<string, string> = {}): Promise<string> {
  const answer = await ask(url, method, path, body, headers);
  if (answer.status >= 300) fail(`${method} ${path} was answered with ${answer.status} ${answer.text}`);
  return answer.headers.get('consistency-token') ?? '';
}

function p99(waits: readonly number[]): number {
  return Math.round(waits.toSorted((a, b) => a - b)[Math.ceil(waits.length * 0.99) - 1] ?? 0);
}

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
