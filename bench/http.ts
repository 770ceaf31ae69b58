import { spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import autocannon from 'autocannon';
import { freshDatabase } from '../test/support/postgres.js';
import { packageRoot } from '../src/infrastructure/process/package-root.js';
import { compare, type Comparison } from './figures.js';

export const customers = 100;

/** PlaceOrder over HTTP, 64 connections, against stock Express with one statement per command; both on the same PostgreSQL server. */
export async function benchHttp(rounds: number, baselineKind: 'identity' | 'gapless', seconds = 4): Promise<Comparison> {
  const mine = await freshDatabase();
  const stock = await freshDatabase({ migrated: false });
  const processes: ChildProcess[] = [];
  try {
    // The copy of the customers is made first; then only the commands run: views and policies are work that the baseline does not do.
    const whole = await start(processes, service(), { DATABASE_URL: mine.url });
    await prepare(whole.url);
    await end(whole.process);
    const ours = await start(processes, service(), { DATABASE_URL: mine.url, ROLES: 'api' });
    const baseline = await start(processes, ['--import', 'tsx', join(packageRoot, 'bench/stock-server.ts')], { DATABASE_URL: stock.url, GAPLESS: baselineKind === 'gapless' ? '1' : '0' });
    const figures = { ours: [] as number[], baseline: [] as number[] };
    await Promise.all([load(ours.url, 1), load(baseline.url, 1)]);
    for (let round = 0; round < rounds; round++) {
      figures.baseline.push(await load(baseline.url, seconds));
      figures.ours.push(await load(ours.url, seconds));
    }
    return compare(`command over HTTP, against stock Express and one statement, ${baselineKind === 'identity' ? 'with holes (identity column)' : 'gapless (a lock per command)'}`, 'commands/s', figures.ours, figures.baseline);
  } finally {
    await Promise.all(processes.map(end));
    await mine.drop();
    await stock.drop();
  }
}

export function service(): string[] {
  return [join(packageRoot, 'dist/interfaces/cli/main.js'), 'serve', '--port', '0'];
}

export async function start(processes: ChildProcess[], args: string[], env: Record<string, string>): Promise<{ url: string; process: ChildProcess }> {
  const child = spawn(process.execPath, args, { env: { ...process.env, LOG_LEVEL: 'error', NODE_ENV: 'production', ...env }, stdio: ['ignore', 'pipe', 'inherit'] });
  processes.push(child);
  const url = await new Promise<string>((resolve, reject) => {
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      const [found] = /http:\/\/127\.0\.0\.1:\d+/.exec(output) ?? [];
      if (found !== undefined) resolve(found);
    });
    child.once('exit', (code) => { reject(new Error(`ended with code ${code ?? 'none'} before it listened`)); });
  });
  return { url, process: child };
}

export async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  await ended;
}

export async function prepare(url: string): Promise<void> {
  let token = '';
  for (let i = 0; i < customers; i++) {
    const answer = await fetch(`${url}/customers`, {
      method: 'POST', headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ customerId: `c-${i}`, name: `Customer ${i}`, currency: 'EUR', creditLimitMinor: null }),
    });
    if (answer.status !== 201) throw new Error(`a customer could not be registered: ${await answer.text()}`);
    token += `${token === '' ? '' : ','}${answer.headers.get('consistency-token') ?? ''}`;
  }
  const seen = await fetch(`${url}/customers?limit=1`, { headers: { 'consistency-token': token } });
  if (seen.status !== 200) throw new Error(`the customers did not arrive: ${await seen.text()}`);
  const placed = await fetch(`${url}/orders`, { method: 'POST', headers: { 'content-type': 'application/json', 'consistency-token': token }, body: order(0) });
  if (placed.status !== 201) throw new Error(`an order could not be placed: ${await placed.text()}`);
}

export function order(i: number): string {
  return JSON.stringify({
    customerId: `c-${i % customers}`, currency: 'EUR', shippingMinor: 490,
    lines: [
      { sku: `sku-${i}`, name: 'Oak chair, oiled', quantity: 2, unitPriceMinor: 12_900, discountMinor: 500 },
      { sku: `sku-${i + 1}`, name: 'Linen cushion', quantity: 4, unitPriceMinor: 1_950 },
    ],
  });
}

async function load(url: string, seconds: number): Promise<number> {
  const result = await autocannon({
    url: `${url}/orders`, connections: 64, duration: seconds, method: 'POST',
    headers: { 'content-type': 'application/json' },
    requests: Array.from({ length: customers }, (_, i) => ({ body: order(i) })),
  });
  if (result.non2xx > 0 || result.errors > 0) throw new Error(`${result.non2xx} refused and ${result.errors} failed of ${result.requests.total} commands`);
  return result.requests.total / result.duration;
}
