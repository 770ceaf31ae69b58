import { spawn, type ChildProcess } from 'node:child_process';
import { readFile, rm } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import pg from 'pg';
import { packageRoot } from '../src/infrastructure/process/package-root.js';
import { applicationName } from '../src/infrastructure/postgres/connection/database.js';
import { openEmbeddedPostgres } from '../src/infrastructure/postgres/embedded/embedded-postgres.js';
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
    const cpu = { service: [] as number[], server: [] as number[] };
    const waitsFor = new Map<number, string[]>();
    for (let window = 0; window < windows; window++) {
      const began = performance.now();
      const before = await cpuMs(service.process, dataDir);
      await inLanes(perWindow, async (n, lane) => {
        const open = waitsFor.get(lane) ?? [];
        waitsFor.set(lane, open);
        open.push(await place(ask, window * perWindow + n));
        if (open.length > openOrders) await settle(ask, open.shift() ?? '');
      });
      await applied(ask);
      rates.push(perWindow * 1_000 / (performance.now() - began));
      const after = await cpuMs(service.process, dataDir);
      for (const who of ['service', 'server'] as const) cpu[who].push((after[who] - before[who]) / perWindow);
    }
    return [
      { name: `orders placed, approved, paid and shipped, in ${windows} windows of ${perWindow.toLocaleString('en')} (${rates.map((rate) => Math.round(rate)).join(', ')}); last against first ${((rates.at(-1) ?? 0) / (rates[0] ?? 1)).toFixed(2)}`, unit: 'orders/s', values: rates },
      ...(['service', 'server'] as const).map((who) => ({ name: `time of a processor, ${who === 'service' ? 'the service' : 'PostgreSQL'}, in each window (${cpu[who].map((ms) => ms.toFixed(2)).join(', ')})`, unit: 'ms an order', values: cpu[who] })),
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
  const { rows: [wal] } = await client.query<{ bytes: string; images: string }>('select wal_bytes as bytes, wal_fpi as images from pg_stat_wal');
  const hot = (row: { hot: string | null; updates: string | null }) => (Number(row.updates ?? 0) > 0 ? ` (${Math.round(Number(row.hot) * 100 / Number(row.updates))} % of its updates leave the indexes alone)` : '');
  return [
    { name: 'on disk, tables with their indexes', unit: 'bytes an order', values: [bytes('r') / orders] },
    { name: 'of that, indexes', unit: 'bytes an order', values: [bytes('i') / orders] },
    { name: `written ahead (WAL), with ${(Number(wal?.images) / orders).toFixed(2)} images of whole pages an order`, unit: 'bytes an order', values: [Number(wal?.bytes) / orders] },
    ...rows.filter((row) => Number(row.bytes) / orders >= 20).map((row) => ({ name: `${row.kind === 'r' ? 'table' : 'index'} ${row.name}${hot(row)}`, unit: 'bytes an order', values: [Number(row.bytes) / orders] })),
  ];
}

/** What both have had of the processors so far, from /proc: says more than the rate on a machine that others use as well. PostgreSQL with all its processes, those that have ended too. */
async function cpuMs(service: ChildProcess, dataDir: string): Promise<{ service: number; server: number }> {
  const postmaster = Number((await readFile(join(dataDir, 'postgres/postmaster.pid'), 'utf8')).split('\n')[0]);
  const children = (await readFile(`/proc/${postmaster}/task/${postmaster}/children`, 'utf8')).trim().split(' ').map(Number);
  const living = (await Promise.all(children.map((pid) => ticks(pid)))).reduce((sum, [own]) => sum + own, 0);
  const [own, ofEnded] = await ticks(postmaster);
  return { service: (await ticks(service.pid ?? 0))[0] * 10, server: (own + ofEnded + living) * 10 };
}

/** Hundredths of a second: of the process, and of its children that have ended. */
async function ticks(pid: number): Promise<[own: number, ended: number]> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ').map(Number);
  const [utime = 0, stime = 0, cutime = 0, cstime = 0] = fields.slice(11, 15);
  return [utime + stime, cutime + cstime];
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
