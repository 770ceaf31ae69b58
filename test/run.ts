import { spawn } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { runningServers } from '../infra/state.js';

// `npm test`: processes of mocha beside each other, then, one after the other, the files that share Kafka and Elasticsearch. There, time counts: sessions, leases, lags.

/** A process for each file: most start processes of their own, or a server, and wait. The long ones first, so that none is left over at the end. */
const processEach = ['end-to-end', 'integration', 'contracts', 'architecture'];
/** One process for all: each takes less time than to start one. */
const processForAll = ['application', 'domain', 'interfaces', 'projections'];
const atOnce = cpus().length + 1;
/** Of one process. What hangs is a failure that says where. */
const limitMs = 15 * 60_000;

// Types and style are checked while the first tests run.
const lint = run('npm', ['run', '--silent', 'lint']);
const compiled = await run(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.json']);
if (compiled.code !== 0) {
  console.error(compiled.output);
  process.exit(1);
}
const { kafka, elasticsearch } = await runningServers();
const sharing: string[] = [];
const alone: string[] = [];
for (const file of (await Promise.all(processEach.map(testsIn))).flat()) ((kafka || elasticsearch) && await sharesServers(file) ? sharing : alone).push(file);

const work = [() => lint, ...alone.map((file) => () => mocha([file])), async () => mocha((await Promise.all(processForAll.map(testsIn))).flat())];
let failed = 0;
await Promise.all(Array.from({ length: atOnce }, async () => {
  for (let next = work.shift(); next !== undefined; next = work.shift()) await report(next());
}));
for (const file of sharing) await report(mocha([file]));
if (failed > 0) process.exitCode = 1;

async function testsIn(folder: string): Promise<string[]> {
  return (await readdir(join('build/test', folder))).filter((name) => name.endsWith('.test.js')).sort().map((name) => join('build/test', folder, name));
}

async function sharesServers(file: string): Promise<boolean> {
  return /support\/(infra|installation)\.js'/.test(await readFile(file, 'utf8'));
}

interface Ended { what: string; code: number | null; output: string; seconds: number }

function mocha(files: readonly string[]): Promise<Ended> {
  return run(process.execPath, ['node_modules/mocha/bin/mocha.js', '--require', 'build/test/support/hooks.js', ...files]);
}

function run(command: string, args: readonly string[]): Promise<Ended> {
  const begun = performance.now();
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], timeout: limitMs, killSignal: 'SIGKILL' });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => { output += chunk.toString(); });
    child.once('error', reject).once('close', (code) => { resolve({ what: args.at(-1)!, code, output, seconds: (performance.now() - begun) / 1_000 }); });
  });
}

/** What a process printed, whole: beside each other they would be a muddle. */
async function report(running: Promise<Ended>): Promise<void> {
  const { what, code, output, seconds } = await running;
  if (code !== 0) failed++;
  console.log(`${output.trimEnd()}\n== ${what}: ${code === 0 ? 'passed' : `FAILED (${code})`} after ${seconds.toFixed(1)} s\n`);
}
