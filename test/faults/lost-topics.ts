import { rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { View, ViewStore } from '../../src/application/ports/view-store.js';
import { openDatabase } from '../../src/infrastructure/postgres/connection/database.js';
import { PostgresViewStores } from '../../src/infrastructure/postgres/views/postgres-view-store.js';
import { serve, type Environment, type Running } from '../support/cli.js';
import { freshDatabase, temporaryDirectory } from '../support/postgres.js';
import { ask, eventually } from '../support/service.js';
import { LossyBroker } from './lossy-broker.js';
import { fail } from './support.js';
import { differenceFrom, readLogs, views, type Logs } from './truth.js';

// Kafka loses what it had, under load; whoever folds the views comes back afterwards. No command comes any more, and no policy runs: only what is noticed can be made up for.

const partitions = 3;
const topicPrefix = 'lost.';
const clients = 4;
const customers = 12;
const pauseMs = 20;
const awayMs = 1_000;
const convergeMs = 60_000;
const sampleMs = 200;
/** A view that lacks something older than this must not say that it lags by nothing. The promise is a minute. */
const oldMs = 30_000;
const lostRecords = 100;

interface Loss {
  name: string;
  /** Is the broker killed first? */
  brokerDown: boolean;
  /** Do the views lose everything as well, as where they are set up anew beside it? */
  emptied: boolean;
  /** @returns what was lost */
  inflict(broker: LossyBroker): Promise<string>;
}

const losses: readonly Loss[] = [
  { name: 'topics deleted and made anew', brokerDown: false, emptied: true, inflict: (broker) => broker.remakeTopics() },
  { name: 'their last records removed', brokerDown: true, emptied: false, inflict: (broker) => broker.cutTails(lostRecords) },
  { name: 'a whole new Kafka', brokerDown: true, emptied: true, inflict: (broker) => broker.wipe() },
];

/** @returns what was seen; throws when a promise was broken. `seconds`: of load in all */
export async function lostTopics({ seconds }: { seconds: number }): Promise<string> {
  const broker = await LossyBroker.start({ topicPrefix, partitions });
  const dataDir = await temporaryDirectory();
  const fresh = await freshDatabase();
  const settings: Environment = {
    DATABASE_URL: fresh.url, DATA_DIR: dataDir, LOG_LEVEL: 'fatal', FEED: 'kafka', KAFKA_BROKERS: broker.address, KAFKA_TOPIC_PREFIX: topicPrefix, KAFKA_PARTITIONS: String(partitions),
  };
  const databases = { customers: openDatabase(fresh.url, 'customers'), orders: openDatabase(fresh.url, 'orders'), views: openDatabase(fresh.url, 'views') };
  let writer: Running | undefined;
  let reader: Running | undefined;
  let sampling: Sampling | undefined;
  const seen: string[] = [];
  try {
    const stores = new Map<View<object>, ViewStore<object>>();
    for (const view of views) stores.set(view, await new PostgresViewStores(({ home }) => databases[home]).open(view));
    writer = await serve({ ...settings, ROLES: 'api,relay' });
    reader = await serve({ ...settings, ROLES: 'projector' });
    const { url } = writer;
    for (let n = 0; n < customers; n++) await command(url, '/customers', { customerId: `c-${n}`, name: `Name ${n}`, currency: 'EUR' });
    await eventually('the first customers are known', async () => await differences(await readLogs(fresh.url), stores) === undefined, convergeMs, 200);
    const load = new Load(url);
    sampling = new Sampling(url, load);
    for (const { name, brokerDown, emptied, inflict } of losses) {
      load.begin();
      await sleep(seconds * 1_000 / losses.length);
      await reader.stop();
      await sleep(awayMs);
      if (brokerDown) await broker.kill();
      const ended = load.end();
      ended.catch(() => undefined);
      const lost = await inflict(broker);
      await ended;
      if (emptied) for (const store of stores.values()) await store.reset();
      if (brokerDown) await broker.start();
      const began = performance.now();
      const logs = await readLogs(fresh.url);
      reader = await serve({ ...settings, ROLES: 'projector' });
      let why: string | undefined = 'nothing was looked at';
      await eventually(`${name}: the views have everything`, async () => {
        why = await differences(logs, stores);
        return why === undefined;
      }, convergeMs, 300).catch(() => fail(`after ${name} (${lost}), ${convergeMs / 1_000} s later: ${why ?? ''}`));
      const convergedMs = performance.now() - began;
      await eventually('the view says that it has everything', async () => (await ask(url, 'GET', '/orders?limit=1')).headers.get('view-lag-ms') === '0', convergeMs, 200);
      const after = await readLogs(fresh.url);
      const [before, now] = [logs, after].map((one) => one.customers.length + one.orders.length);
      if (before !== now) fail(`after ${name} the logs have grown from ${before ?? 0} to ${now ?? 0} events: that could have helped`);
      seen.push(`${name} (${lost}): ${before ?? 0} events in the views, as a naive fold has them, ${(convergedMs / 1_000).toFixed(1)} s after it${emptied ? ', which were emptied' : ''}`);
    }
    return `${seen.join('; ')}; ${await sampling.end()}`;
  } catch (error) {
    throw new Error(`after ${seen.join('; ') || 'nothing'}`, { cause: error });
  } finally {
    sampling?.stop();
    await reader?.stop();
    await writer?.stop();
    await Promise.all(Object.values(databases).map((one) => one.close()));
    await broker.end();
    await rm(dataDir, { recursive: true, force: true });
    await fresh.drop();
  }
}

async function differences(logs: Logs, stores: ReadonlyMap<View<object>, ViewStore<object>>): Promise<string | undefined> {
  for (const [view, store] of stores) {
    const difference = await differenceFrom(logs, view, store, partitions);
    if (difference !== undefined) return difference;
  }
  return undefined;
}

async function command(url: string, path: string, body: object): Promise<void> {
  const { status, text } = await ask(url, 'POST', path, body);
  if (status !== 201) fail(`POST ${path} was answered with ${status} ${text}`);
}

/** Clients that place orders; none may be refused. */
class Load {
  /** `performance.now()` of each order's answer. */
  readonly acknowledged: number[] = [];
  private running = false;
  private placed = 0;
  private placing: Promise<unknown> = Promise.resolve();

  constructor(private readonly url: string) {}

  begin(): void {
    this.running = true;
    this.placing = Promise.all(Array.from({ length: clients }, () => this.client()));
    this.placing.catch(() => undefined);
  }

  async end(): Promise<void> {
    this.running = false;
    await this.placing;
  }

  private async client(): Promise<void> {
    while (this.running) {
      const n = this.placed++;
      await command(this.url, '/orders', { orderId: `o-${n}`, customerId: `c-${n % customers}`, currency: 'EUR', lines: [{ sku: 's', name: 'S', quantity: 1, unitPriceMinor: 10 }] });
      this.acknowledged.push(performance.now());
      await sleep(pauseMs);
    }
  }
}

/** Asks for the number of orders, again and again, and compares it with what was acknowledged. */
class Sampling {
  private stopped = false;
  private asked = 0;
  private lacking = 0;
  private oldestUnsaid = 0;
  private readonly running: Promise<void>;

  constructor(private readonly url: string, private readonly load: Load) {
    this.running = this.run();
    this.running.catch(() => undefined);
  }

  stop(): void { this.stopped = true; }

  async end(): Promise<string> {
    this.stopped = true;
    await this.running;
    if (this.lacking === 0) fail('no query met a view that lacked anything');
    return `${this.asked} queries, ${this.lacking} of them of a view that lacked acknowledged orders; where it said that it lagged by nothing, the oldest was ${(this.oldestUnsaid / 1_000).toFixed(1)} s old`;
  }

  private async run(): Promise<void> {
    while (!this.stopped) {
      await sleep(sampleMs);
      const at = performance.now();
      const known = this.load.acknowledged.length;
      const { status, headers, body } = await ask(this.url, 'GET', '/orders?limit=1&total=exact');
      this.asked++;
      // A view of which nothing is known yet says so.
      if (status === 503) this.lacking++;
      if (status !== 200) continue;
      // Each order is one document: of those that are lacking, the oldest is at least this old.
      const oldest = (body as { total: number }).total < known ? this.load.acknowledged[(body as { total: number }).total] : undefined;
      if (oldest === undefined) continue;
      this.lacking++;
      if (headers.get('view-lag-ms') !== '0') continue;
      this.oldestUnsaid = Math.max(this.oldestUnsaid, at - oldest);
      if (at - oldest > oldMs) fail(`a query said View-Lag-Ms: 0 with ${(body as { total: number }).total} of ${known} orders, and what it lacked was ${Math.round(at - oldest)} ms old`);
    }
  }
}
