import { spawn, type ChildProcess } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import pg from 'pg';
import { packageRoot } from '../src/infrastructure/package-root.js';
import { applicationName } from '../src/infrastructure/postgres/database.js';
import { openEmbeddedPostgres } from '../src/infrastructure/postgres/embedded-postgres.js';
import { temporaryDirectory } from '../test/support/postgres.js';
import type { Measurement } from './figures.js';

const windows = 10;
const customers = 2_000;
const lanes = 48;
/** An order is paid and shipped when so many more of its lane have been placed: by then it is approved. */
const openOrders = 4;

/**
 * The embedded profile in one process while it grows to 200,000 orders, each placed over HTTP, approved by the policies, paid and shipped:
 * orders a second in ten windows, up to the moment at which the view shows them, and what an order takes on disk.
 */
export async function benchGrowth(scale: number): Promise<Measurement[]> {
  const perWindow = Math.round(20_000 * scale);
  const dataDir = await temporaryDirectory();
  const server = await openEmbeddedPostgres(dataDir);
  // Under the service's own name: who stops last stops the server.
  const client = new pg.Client({ connectionString: server.url, application_name: applicationName });
  await client.connect();
  const service = await start(dataDir);
  const agent = new Agent({ keepAlive: true });
  const ask = (path: string, body?: object) => send(agent, service.url + path, body);
  try {
    await inLanes(customers, async (n) => { expectStatus(await ask('/customers', { customerId: `c-${n}`, name: `Customer ${n}`, currency: 'EUR', creditLimitMinor: null }), 201); });
    const rates: number[] = [];
    const waitsFor = new Map<number, string[]>();
    for (let window = 0; window < windows; window++) {
      const began = performance.now();
      await inLanes(perWindow, async (n, lane) => {
        const open = waitsFor.get(lane) ?? [];
        waitsFor.set(lane, open);
        open.push(await place(ask, window * perWindow + n));
        if (open.length > openOrders) await settle(ask, open.shift() ?? '');
      });
      await applied(ask);
      rates.push(perWindow * 1_000 / (performance.now() - began));
    }
    return [
      { name: `orders placed, approved, paid and shipped, in ${windows} windows of ${perWindow.toLocaleString('en')} (${rates.map((rate) => Math.round(rate)).join(', ')}); last against first ${((rates.at(-1) ?? 0) / (rates[0] ?? 1)).toFixed(2)}`, unit: 'orders/s', values: rates },
      ...await sizes(client, windows * perWindow),
    ];
  } finally {
    agent.destroy();
    await end(service.process);
    await client.end();
    await server.close();
    await rm(dataDir, { recursive: true, force: true });
  }
}

type Ask = (path: string, body?: object) => Promise<Answer>;

async function place(ask: Ask, n: number): Promise<string> {
  const answer = await ask('/orders', {
    customerId: `c-${n % customers}`, currency: 'EUR', shippingMinor: 490,
    lines: [
      { sku: `sku-${n % 5_000}`, name: 'Oak chair, oiled', quantity: 2, unitPriceMinor: 12_900 + n % 1_000, discountMinor: 500 },
      { sku: `sku-${(n * 7) % 5_000}`, name: 'Linen cushion', quantity: 4, unitPriceMinor: 1_950 },
    ],
  });
  expectStatus(answer, 201);
  return (JSON.parse(answer.text) as { id: string }).id;
}

async function settle(ask: Ask, orderId: string): Promise<void> {
  for (const deadline = performance.now() + 60_000; ;) {
    const answer = await ask(`/orders/${orderId}/pay`, { paymentReference: `bench-${orderId}` });
    if (answer.status === 200) break;
    if (!answer.text.includes('order.not-approved') || performance.now() > deadline) throw new Error(`${orderId} cannot be paid: ${answer.text}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  expectStatus(await ask(`/orders/${orderId}/ship`, { carrier: 'Post' }), 200);
}

/** Until every order is approved, and the view says so. */
async function applied(ask: Ask): Promise<void> {
  for (const deadline = performance.now() + 120_000; ;) {
    const { text } = await ask('/orders?status=placed&limit=1');
    if ((JSON.parse(text) as { items: unknown[] }).items.length === 0) return;
    if (performance.now() > deadline) throw new Error('orders still wait for their approval after 120 s');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function sizes(client: pg.Client, orders: number): Promise<Measurement[]> {
  const { rows } = await client.query<{ name: string; kind: string; bytes: string; hot: string | null; updates: string | null }>(`
    select n.nspname || '.' || coalesce(t.relname || ' ', '') || c.relname as name, c.relkind as kind, pg_total_relation_size(c.oid) as bytes, s.n_tup_hot_upd as hot, s.n_tup_upd as updates
    from pg_class c join pg_namespace n on n.oid = c.relnamespace left join pg_index i on i.indexrelid = c.oid left join pg_class t on t.oid = i.indrelid
      left join pg_stat_user_tables s on s.relid = c.oid
    where n.nspname in ('customers', 'orders', 'views') and c.relkind in ('r', 'i') order by pg_total_relation_size(c.oid) desc`);
  const bytes = (kind: string) => rows.filter((row) => row.kind === kind).reduce((sum, row) => sum + Number(row.bytes), 0);
  const { rows: [wal] } = await client.query<{ bytes: string }>('select wal_bytes as bytes from pg_stat_wal');
  const hot = (row: { hot: string | null; updates: string | null }) => (Number(row.updates ?? 0) > 0 ? ` (${Math.round(Number(row.hot) * 100 / Number(row.updates))} % of its updates leave the indexes alone)` : '');
  return [
    { name: 'on disk, tables with their indexes', unit: 'bytes an order', values: [bytes('r') / orders] },
    { name: 'of that, indexes', unit: 'bytes an order', values: [bytes('i') / orders] },
    { name: 'written ahead (WAL)', unit: 'bytes an order', values: [Number(wal?.bytes) / orders] },
    ...rows.filter((row) => Number(row.bytes) / orders >= 20).map((row) => ({ name: `${row.kind === 'r' ? 'table' : 'index'} ${row.name}${hot(row)}`, unit: 'bytes an order', values: [Number(row.bytes) / orders] })),
  ];
}

async function inLanes(count: number, work: (n: number, lane: number) => Promise<void>): Promise<void> {
  let next = 0;
  await Promise.all(Array.from({ length: lanes }, async (_, lane) => { while (next < count) await work(next++, lane); }));
}

interface Answer { status: number; text: string }

function expectStatus({ status, text }: Answer, wanted: number): void {
  if (status !== wanted) throw new Error(`answered with ${status} instead of ${wanted}: ${text}`);
}

function send(agent: Agent, url: string, body?: object): Promise<Answer> {
  const payload = body && JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const headers = payload === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) };
    const asking = request(url, { agent, method: payload === undefined ? 'GET' : 'POST', headers }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (chunk: string) => { text += chunk; }).on('end', () => { resolve({ status: answer.statusCode ?? 0, text }); });
    });
    asking.on('error', reject).end(payload);
  });
}

async function start(dataDir: string): Promise<{ url: string; process: ChildProcess }> {
  const env = { PATH: process.env.PATH, DATA_DIR: dataDir, PROFILE: 'embedded', PORT: '0', LOG_LEVEL: 'error', NODE_ENV: 'production' };
  const child = spawn(process.execPath, [join(packageRoot, 'dist/interfaces/cli/main.js'), 'serve'], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  const url = await new Promise<string>((resolve, reject) => {
    let banner = '';
    child.stdout.on('data', (chunk: Buffer) => {
      banner += chunk.toString();
      const [found] = /http:\/\/127\.0\.0\.1:\d+/.exec(banner) ?? [];
      if (found !== undefined) resolve(found);
    });
    child.once('exit', (code) => { reject(new Error(`the service ended with code ${code ?? 'none'} before it listened`)); });
  });
  return { url, process: child };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  await ended;
}
