import { spawn, type ChildProcess } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { packageRoot } from '../../src/infrastructure/process/package-root.js';
import { checkAcknowledged, takeOrders, type Acknowledged, type AskedService } from './clients.js';
import { fail, random, readWholeLog, type Random } from './support.js';

// The service is killed with -9 again and again while clients place, pay, ship and cancel orders. Each client keeps its own record of what
// was acknowledged, and asks again under the same key when no answer came. In the end that record is compared with the service, from outside.

const clients = 24;

/** @returns what was seen; throws when a promise was broken */
export async function kills(dataDir: string, { kills: times = 50, seed = 1, port = 0 } = {}): Promise<string> {
  const dice = random(seed);
  const service = new KilledService(dataDir, port);
  const record: Acknowledged[] = [];
  const stop = new AbortController();
  await service.start();
  const load = Array.from({ length: clients }, (_, client) => takeOrders(client, service, record, random(seed * 1_000 + client), stop.signal));
  let withDatabase = 0;
  let slowest = 0;
  try {
    for (let kill = 1; kill <= times; kill++) {
      await new Promise((resolve) => setTimeout(resolve, 100 + dice() * 1_400));
      // Now and then the database dies with it, as when a machine loses its power.
      const all = dice() < 0.2;
      if (all) withDatabase++;
      await service.kill(all);
      const began = performance.now();
      await service.start();
      slowest = Math.max(slowest, performance.now() - began);
    }
    stop.abort();
    await Promise.all(load);
    const events = await check(service, record, dice);
    return `${times} kills (${withDatabase} with the database), ${record.length} commands acknowledged, ${events} events: none lost, none twice, no hole, `
      + `the views agree; ready again after ${(slowest / 1_000).toFixed(1)} s at the slowest`;
  } finally {
    stop.abort();
    await service.stop();
  }
}

async function check(service: KilledService, record: readonly Acknowledged[], dice: Random): Promise<number> {
  // Asked once more under its key, a command is answered with the same bytes and changes nothing.
  const before = await readWholeLog(service.dataDir);
  for (const { method, path, key, body, answer } of record.filter(() => dice() < 0.1)) {
    const again = await service.request(method, path, body, { 'idempotency-key': key });
    if (again?.body !== answer) fail(`${key} was answered with ${answer}, then with ${again?.body ?? 'nothing'}`);
  }
  const logs = await readWholeLog(service.dataDir);
  for (const context of ['customers', 'orders'] as const) {
    logs[context].forEach(({ position }, index) => { if (position !== index + 1) fail(`${context}: position ${position} where ${index + 1} was due`); });
    if (context === 'orders' && logs.orders.length !== before.orders.length) fail('a repeated command was applied again');
  }
  checkAcknowledged(record, logs);

  // The views catch up, and the saga ends for every order.
  const placed = logs.orders.filter(({ type }) => type === 'OrderPlaced').length;
  const deadline = performance.now() + 30_000;
  for (;;) {
    const list = await service.json(`/orders?limit=1&facets=status`) as { total: number; facets: { status: { key: string; count: number }[] } };
    const waiting = list.facets.status.find(({ key }) => key === 'placed')?.count ?? 0;
    if (list.total === placed && waiting === 0) break;
    if (performance.now() > deadline) fail(`the view has ${list.total} of ${placed} orders, ${waiting} still wait for their decision`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const last = (await readWholeLog(service.dataDir)).orders;
  const statuses = new Map<string, string>();
  const statusAfter: Record<string, string> = { OrderPlaced: 'placed', OrderApproved: 'approved', OrderRejected: 'rejected', OrderShipped: 'shipped', OrderDelivered: 'delivered', OrderCancelled: 'cancelled' };
  for (const { stream, type } of last) if (statusAfter[type] !== undefined) statuses.set(stream, statusAfter[type]);
  const listed = new Map<string, string>();
  for (let cursor = ''; ;) {
    const page = await service.json(`/orders?limit=200${cursor}`) as { items: { orderId: string; status: string }[]; nextCursor?: string };
    for (const { orderId, status } of page.items) listed.set(`order-${orderId}`, status);
    if (page.nextCursor === undefined) break;
    cursor = `&cursor=${encodeURIComponent(page.nextCursor)}`;
  }
  for (const [stream, status] of statuses) if (listed.get(stream) !== status) fail(`${stream} is ${status} in the log and ${listed.get(stream) ?? 'missing'} in the list`);
  return last.length + logs.customers.length;
}

/** The service as a process of its own, started as a user starts it. */
class KilledService implements AskedService {
  private process: ChildProcess | undefined;
  private url = '';

  constructor(readonly dataDir: string, private readonly port: number) {}

  async start(): Promise<void> {
    const child = spawn(process.execPath, [join(packageRoot, 'dist/interfaces/cli/main.js'), 'serve', '--port', String(this.port), '--data-dir', this.dataDir],
      { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, LOG_LEVEL: 'fatal' } });
    this.process = child;
    this.url = await new Promise<string>((resolve, reject) => {
      let output = '';
      const read = (chunk: Buffer) => {
        output += chunk.toString();
        const [url] = /http:\/\/127\.0\.0\.1:\d+/.exec(output) ?? [];
        if (url !== undefined) resolve(url);
      };
      child.stdout.on('data', read);
      child.stderr.on('data', read);
      child.once('exit', (code) => { reject(new Error(`the service did not start (code ${code ?? 'none'}): ${output}`)); });
    });
  }

  async kill(withDatabase: boolean): Promise<void> {
    const postmaster = withDatabase ? Number((await readFile(join(this.dataDir, 'postgres/postmaster.pid'), 'utf8')).split('\n')[0]) : undefined;
    await this.end('SIGKILL');
    if (postmaster !== undefined) process.kill(postmaster, 'SIGKILL');
  }

  stop(): Promise<void> {
    this.gone = true;
    return this.end('SIGTERM');
  }

  /** Ended, and not to be started again. */
  gone = false;

  private async end(signal: NodeJS.Signals): Promise<void> {
    const child = this.process;
    if (child?.exitCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await ended;
  }

  /** `undefined` when no answer came. */
  async request(method: string, path: string, body?: string, headers: Record<string, string> = {}): Promise<{ status: number; body: string } | undefined> {
    try {
      const answer = await fetch(this.url + path, { method, headers: { 'content-type': 'application/json', ...headers }, ...(body !== undefined && { body }), signal: AbortSignal.timeout(10_000) });
      return { status: answer.status, body: await answer.text() };
    } catch {
      return undefined;
    }
  }

  async json(path: string): Promise<unknown> {
    const answer = await this.request('GET', path);
    if (answer?.status !== 200) fail(`GET ${path}: ${answer?.status ?? 'no answer'} ${answer?.body ?? ''}`);
    return JSON.parse(answer.body);
  }
}
