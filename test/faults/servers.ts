import { setTimeout as sleep } from 'node:timers/promises';
import type { Servers, Server, ServerName } from './behind-proxies.js';
import { checkAcknowledged, order, type Acknowledged } from './clients.js';
import { Production } from './production.js';
import { fail, random, type Random } from './support.js';
import { checkSagas, checkTopics, differenceFrom, lagOf, readLogs, type Logs } from './truth.js';

// The production profile under a steady load, while one server after the other is killed, hears nothing, or has its answers lost.

export const faultNames = ['kill', 'hole', 'one answer lost', 'answers lost'] as const;
export type FaultName = (typeof faultNames)[number];

interface Options { seed?: number; faults: readonly (readonly [ServerName, FaultName])[]; clients?: number; faultMs?: number; say?: (line: string) => void }

const recoveryMs = 30_000;
/** While Elasticsearch does not answer, a query is told so within this time, on a machine with more to do than it can. */
const refusalMs = 6_500;
const answerMs = 5_000;

/** @returns what was seen; throws when a promise was broken */
export async function servers(environment: Servers, { seed = 1, faults, clients = 4, faultMs = 10_000, say = () => undefined }: Options): Promise<string> {
  const dice = random(seed);
  const production = await Production.start(environment);
  const record: Acknowledged[] = [];
  const stop = new AbortController();
  const gate = new Gate();
  const load = Array.from({ length: clients }, (_, n) => order(n, production, record, random(seed * 1_000 + n), stop.signal, { everyMs: 150, held: () => gate.pass() }));
  const queries = ask(production, stop.signal, dice);
  const seen: string[] = [];
  try {
    await sleep(3_000);
    for (const [name, fault] of faults) {
      const server = environment.at[name];
      if (server === undefined) throw new Error(`${name} is not behind a proxy`);
      const began = performance.now();
      await inflict(server, fault, faultMs);
      // A server that was started again answers before it can do anything.
      if (fault === 'kill') await answering(production);
      const back = performance.now();
      const recovered = await recovery(production, `${name}-${seen.length}-${seed}`, back);
      checkAnswers(production, name, began, back);
      const { events, repeated } = await checkAll(production, record, gate);
      const line = `${name}, ${fault}: recovered after ${(recovered / 1_000).toFixed(1)} s (${events} events, ${repeated} of them twice in the topics)`;
      seen.push(line);
      say(line);
    }
    stop.abort();
    await Promise.all([...load, queries]);
    await checkRepeated(production, record, dice);
    return `${record.length} commands acknowledged, none lost, none twice; ${seen.join('; ')}`;
  } catch (error) {
    throw new Error(`after ${seen.join('; ') || 'nothing'}: the processes said: ${production.lastWords}`, { cause: error });
  } finally {
    stop.abort();
    gate.open();
    for (const { proxy } of Object.values(environment.at)) proxy.restore();
    await production.stop();
    await Promise.allSettled([...load, queries]);
    await production.forget();
  }
}

async function inflict({ proxy, kill, start }: Server, fault: FaultName, ms: number): Promise<void> {
  switch (fault) {
    case 'kill':
      if (kill === undefined || start === undefined) throw new Error('this server belongs to others as well');
      await kill();
      await sleep(ms / 5);
      await start();
      return;
    case 'hole':
      proxy.blackHole();
      await sleep(ms);
      break;
    case 'one answer lost':
      proxy.dropAnswers(() => true, 1, 1);
      await sleep(ms / 5);
      break;
    case 'answers lost':
      proxy.dropAnswers(() => true, 7);
      await sleep(ms);
  }
  if (fault !== 'hole' && proxy.dropped === 0) fail('no answer was lost');
  proxy.restore();
}

async function answering(production: Production): Promise<void> {
  for (let quick = false; !quick;) {
    const began = performance.now();
    const answered = await production.look(async ({ stores }) => { for (const store of stores.values()) await store.progress(); }).then(() => true, () => false);
    quick = answered && performance.now() - began < 3_000;
  }
}

/** Until everything that was stored by then is in every view, and an order goes all the way. @returns in milliseconds since `back` */
async function recovery(production: Production, name: string, back: number): Promise<number> {
  const since = () => performance.now() - back;
  const { logs, waiting } = await production.look(async ({ databaseUrl }) => ({ logs: await readLogs(databaseUrl), waiting: new Set<string>() }));
  const orderId = `probe-${name}`.replaceAll(' ', '-');
  let why = '';
  for (let placed = false; since() < recoveryMs;) {
    placed ||= await production.request('POST', '/orders', JSON.stringify({ orderId, customerId: 'c-0', currency: 'EUR', lines: [{ sku: 's', name: 'A probe', quantity: 1, unitPriceMinor: 1 }] }), { 'idempotency-key': orderId })
      .then((answer) => answer?.status === 201);
    const found = placed ? await production.request('GET', `/orders/${orderId}`) : undefined;
    const decided = found?.status === 200 && /"status":"(approved|rejected)"/.test(found.body);
    const lag = await lags(production, logs);
    why = !placed ? 'no order can be placed' : !decided ? `the order has not come through: ${found?.status ?? 0} ${found?.body ?? ''}` : lag ?? '';
    if (why === '') return since();
    waiting.add(why);
    await sleep(100);
  }
  fail(`not recovered after ${recoveryMs / 1_000} s: ${why}`);
}

async function lags(production: Production, logs: Logs): Promise<string | undefined> {
  return production.look(async ({ stores }) => {
    for (const [view, store] of stores) {
      const lag = await lagOf(logs, view, store, production.partitions);
      if (lag !== undefined) return lag;
    }
    return undefined;
  });
}

/** Asks for orders, a list and the readiness, again and again. */
async function ask(production: Production, stop: AbortSignal, dice: Random): Promise<void> {
  const again = async (everyMs: number, path: () => string) => {
    while (!stop.aborted) {
      await production.request('GET', path());
      await sleep(everyMs);
    }
  };
  await Promise.all([
    again(100, () => `/orders/o-${Math.floor(dice() * 6)}-0`), again(200, () => '/orders?limit=5&facets=status'), again(200, () => `/customers/c-${Math.floor(dice() * 6)}/history`),
    again(500, () => '/health/ready'),
  ]);
}

/** What a part that is away may do to the others: nothing. */
function checkAnswers(production: Production, away: ServerName, began: number, back: number): void {
  const during = production.asked.splice(0).filter(({ at }) => at >= began && at < back);
  for (const { method, path, status, ms } of during) {
    const what = `${method} ${path} while ${away} was away: ${status === 0 ? 'no answer' : status} after ${Math.round(ms)} ms`;
    if (path === '/health/ready') {
      if (status === 0 || ms > answerMs || (status !== 200 && away !== 'postgres')) fail(what);
    } else if (method === 'GET') {
      if (away === 'elasticsearch' ? ![200, 404, 503].includes(status) || ms > refusalMs : ![200, 404].includes(status) || ms > answerMs) fail(what);
    } else if (away === 'postgres' ? status === 0 || status === 500 : status === 0 || status >= 500 || ms > answerMs) fail(what);
  }
}

async function checkAll(production: Production, record: readonly Acknowledged[], gate: Gate): Promise<{ events: number; repeated: number }> {
  await gate.close();
  try {
    return await production.look(async ({ stores, kafka, databaseUrl }) => {
      // The saga ends: what it does comes after the last command.
      let logs = await readLogs(databaseUrl);
      const deadline = performance.now() + recoveryMs;
      for (;;) {
        const error = await settled(production, logs, stores);
        const now = await readLogs(databaseUrl);
        const same = now.orders.length === logs.orders.length && now.customers.length === logs.customers.length;
        logs = now;
        if (error === undefined && same) break;
        if (performance.now() > deadline) fail(error ?? 'the logs still grow');
        await sleep(200);
      }
      const repeated = await checkTopics(kafka, production.topicPrefix, logs, production.partitions);
      for (const [view, store] of stores) {
        const difference = await differenceFrom(logs, view, store, production.partitions);
        if (difference !== undefined) fail(difference);
      }
      const typed = (log: Logs['orders' | 'customers']) => log.map(({ stream, version, data }) => ({ stream, version, type: data.type, orderId: 'orderId' in data ? data.orderId : '' }));
      checkAcknowledged(record, { customers: typed(logs.customers), orders: typed(logs.orders) });
      production.checkAlive();
      return { events: logs.customers.length + logs.orders.length, repeated };
    });
  } finally {
    gate.open();
  }
}

async function settled(production: Production, logs: Logs, stores: Parameters<Parameters<Production['look']>[0]>[0]['stores']): Promise<string | undefined> {
  try {
    checkSagas(logs);
  } catch (error) {
    return (error as Error).message;
  }
  for (const [view, store] of stores) {
    const lag = await lagOf(logs, view, store, production.partitions);
    if (lag !== undefined) return lag;
  }
  return undefined;
}

/** Asked once more under its key, a command is answered with the same bytes. */
async function checkRepeated(production: Production, record: readonly Acknowledged[], dice: Random): Promise<void> {
  for (const { method, path, key, body, answer } of record.filter(() => dice() < 0.1)) {
    const again = await production.request(method, path, body, { 'idempotency-key': key });
    if (again?.body !== answer) fail(`${key} was answered with ${answer}, then with ${again?.body ?? 'nothing'}`);
  }
}

/** Holds the clients back while the books are compared. */
class Gate {
  private opened: Promise<void> = Promise.resolve();
  open: () => void = () => undefined;

  pass(): Promise<void> { return this.opened; }

  /** A command that is under way may take its time. */
  async close(): Promise<void> {
    this.opened = new Promise((resolve) => { this.open = resolve; });
    await sleep(1_000);
  }
}
