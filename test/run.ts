import { spawn } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { runningServers } from '../infra/state.js';

// `npm test`: processes of mocha beside each other, then, one after the other, the files that share Kafka and Elasticsearch. There time counts:
// sessions, leases, lags.

/** One process for all of each: a file takes less time than to start a process. */
const together = [['interfaces'], ['application', 'domain', 'views'], ['integration/postgres'], ['integration/kafka', 'integration/elasticsearch']];
/** A process for each file: most start processes of their own, or a server, and wait. The long ones first, so that none is left over at the end. */
const apart = ['end-to-end', 'contracts', 'integration', 'architecture'];
/** What is covered is counted in these: it slows a process down by a quarter. */
const counted = ['interfaces', 'application', 'domain', 'views', 'contracts', 'integration'];
/** Half of the time they wait. A CI machine is given more time instead: there a result counts for more than a minute. */
const atOnce = process.env.CI === undefined ? 2 * cpus().length : cpus().length;
/** Longest time for one process. What hangs is a failure that says where. */
const limitMs = 15 * 60_000;

// Types and style are checked while the first tests run.
const lint = run('npm', ['run', '--silent', 'lint']);
const compiled = await run(process.execPath, ['node_modules/typescript-native/bin/tsc', '-p', 'tsconfig.json']);
if (compiled.code !== 0) {
  console.error(compiled.output);
  process.exit(1);
}
const { kafka, elasticsearch } = await runningServers();
const sharing: string[][] = [];
const alone: string[][] = [];
for (const files of [...await Promise.all(together.map(testsIn)), ...(await testsIn(apart)).map((file) => [file])]) {
  const target = (kafka || elasticsearch) && await shareServers(files) ? sharing : alone;
  target.push(files);
}

const failures: string[] = [];
const again: string[][] = [];
const work = [async () => { report(await lint); }, ...alone.map((files) => () => first(files))];
await Promise.all(Array.from({ length: atOnce }, async () => {
  for (let next = work.shift(); next !== undefined; next = work.shift()) await next();
}));
for (const files of sharing) await first(files);
for (const files of again) report(await mocha(files));
if (failures.length > 0) {
  console.log(failures.join('\n\n'));
  process.exitCode = 1;
}

async function testsIn(folders: readonly string[]): Promise<string[]> {
  const inEach = await Promise.all(folders.map(async (folder) => {
    const names = await readdir(join('build/test', folder));
    return names.filter((name) => name.endsWith('.test.js')).sort().map((name) => join('build/test', folder, name));
  }));
  return inEach.flat();
}

async function shareServers(files: readonly string[]): Promise<boolean> {
  return (await Promise.all(files.map((file) => readFile(file, 'utf8')))).some((text) => /support\/(infra|installation)\.js'/.test(text));
}

interface Ended { what: string; code: number | null; output: string; seconds: number }

function mocha(files: readonly string[]): Promise<Ended> {
  return run(process.execPath, ['node_modules/mocha/bin/mocha.js', '--require', 'build/test/support/hooks.js', ...files]);
}

function run(command: string, args: readonly string[]): Promise<Ended> {
  const begun = performance.now();
  return new Promise((resolve, reject) => {
    const isCounted = counted.some((folder) => args.at(-1)?.startsWith(`build/test/${folder}/`));
    const child = spawn(command, args, {
      // Node.js hands this variable on to a child unless it is named.
      env: { ...process.env, ...(!isCounted && { NODE_V8_COVERAGE: undefined }) }, stdio: ['ignore', 'pipe', 'pipe'], timeout: limitMs, killSignal: 'SIGKILL',
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => { output += chunk.toString(); });
    child.once('error', reject).once('close', (code) => { resolve({ what: args.at(-1)!, code, output, seconds: (performance.now() - begun) / 1_000 }); });
  });
}

/**
 * Many tests are about time. One that fails beside others, on a machine that stood still, must pass by itself at the end. What failed at first is said
 * all the same.
 */
async function first(files: readonly string[]): Promise<void> {
  const ended = await mocha(files);
  if (ended.code === 0) report(ended);
  else {
    again.push([...files]);
    console.log(`== ${ended.what}: failed beside others, and is run by itself at the end\n${whatFailed(ended.output)}\n`);
  }
}

/** What a process printed, whole: beside each other they would be a muddle. */
function report({ what, code, output, seconds }: Ended): void {
  const outcome = `== ${what}: ${code === 0 ? 'passed' : `FAILED (${code})`} after ${seconds.toFixed(1)} s`;
  console.log(`${output.trimEnd()}\n${outcome}\n`);
  if (code !== 0) failures.push(`${outcome}\n${whatFailed(output)}`);
}

/** What mocha lists behind its count of failures, else the end of the output: said again at the very end, where one looks first. */
function whatFailed(output: string): string {
  const lines = output.trimEnd().split('\n');
  const count = lines.findIndex((line) => /\d+ failing/.test(line));
  return (count === -1 ? lines.slice(-40) : lines.slice(count + 1)).join('\n');
}
