import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { eventCodec, upcasters } from '../src/application/log/codec.js';
import { MemoryLogSignal } from '../src/infrastructure/memory/memory-log-signal.js';
import { packageRoot } from '../src/infrastructure/process/package-root.js';
import { openDatabase } from '../src/infrastructure/postgres/connection/database.js';
import { PostgresEventStore } from '../src/infrastructure/postgres/log/postgres-event-store.js';
import type { TestServer } from '../test/support/postgres.js';
import { appendOrder, perSecond, roundMs } from './append.js';
import { compare, type Comparison } from './figures.js';

const run = promisify(execFile);
const directory = join(packageRoot, 'bench/emmett');

/** The same appends with emmett, in a process of its own on the same server. Its packages are installed at first use, beside the bench alone. */
export async function benchEmmett(rounds: number, server: TestServer): Promise<Comparison> {
  if (!existsSync(join(directory, 'node_modules'))) await run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], { cwd: directory });
  const [mine, other] = [await server.freshDatabase(), await server.freshDatabase({ migrated: false })];
  const database = openDatabase(mine.url, 'orders');
  const store = new PostgresEventStore(database, 'orders', eventCodec(upcasters), new MemoryLogSignal());
  const emmett = async () => Number((await run(process.execPath, ['append.mjs', String(roundMs)], { cwd: directory, env: { ...process.env, DATABASE_URL: other.url } })).stdout.trim().split('\n').at(-1));
  const figures = { ours: [] as number[], baseline: [] as number[] };
  try {
    for (let round = 0; round < rounds; round++) {
      figures.baseline.push(await emmett());
      await perSecond((stream) => appendOrder(store, stream), `warm-${round}`, 500);
      figures.ours.push(await perSecond((stream) => appendOrder(store, stream), `ours-${round}`, roundMs));
    }
    return compare(`append of 2 events, 64 in flight, against emmett 0.42, on ${server.name}`, 'appends/s', figures.ours, figures.baseline);
  } finally {
    await database.close();
    await mine.drop();
    await other.drop();
  }
}
