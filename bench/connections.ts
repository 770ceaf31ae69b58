import type { ChildProcess } from 'node:child_process';
import autocannon from 'autocannon';
import { freshDatabase } from '../test/support/postgres.js';
import type { Measurement } from './figures.js';
import { customers, end, order, prepare, service, start } from './http.js';

const connections = 1_000;
const seconds = 8;

/** A thousand connections at once, each with a request under way all the time: how long the slowest of them wait, and that each one is answered. */
export async function benchConnections(): Promise<Measurement[]> {
  const database = await freshDatabase();
  const processes: ChildProcess[] = [];
  try {
    const { url } = await start(processes, service(), { DATABASE_URL: database.url });
    await prepare(url);
    const commands = await load(`${url}/orders`, { method: 'POST', headers: { 'content-type': 'application/json' }, requests: Array.from({ length: customers }, (_, i) => ({ body: order(i) })) });
    const queries = await load(`${url}/orders?customerId=c-1`, {});
    return [...measured('commands', commands), ...measured('lists', queries)];
  } finally {
    await Promise.all(processes.map(end));
    await database.drop();
  }
}

function load(url: string, rest: Partial<autocannon.Options>): Promise<autocannon.Result> {
  return autocannon({ url, connections, duration: seconds, timeout: 30, ...rest });
}

function measured(what: string, { latency, requests, non2xx, errors, timeouts, ...rest }: autocannon.Result): Measurement[] {
  if (errors + timeouts > 0) throw new Error(`${what}: ${errors + timeouts} of ${requests.total} requests were never answered`);
  const figure = (name: string, unit: string, value: number): Measurement => ({ name: `${what} over ${connections} connections at once: ${name}`, unit, values: [value] });
  return [
    figure('answered', 'requests/s', requests.total / rest.duration), figure('refused with 503', 'requests', non2xx),
    figure('median', 'ms', latency.p50), figure('p99', 'ms', latency.p99), figure('p99.9', 'ms', latency.p99_9), figure('slowest', 'ms', latency.max),
  ];
}
