import { spawn, type ChildProcess } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { Setting } from '../../src/infrastructure/process/config.js';
import { temporaryDirectory } from './postgres.js';

// The command line as a user has it, in a process of its own: from the sources under tsx, or compiled.

const compiled = import.meta.url.endsWith('.js');
const main = fileURLToPath(new URL(`../../src/interfaces/cli/main.${compiled ? 'js' : 'ts'}`, import.meta.url));
const command = compiled ? [main] : ['--import', 'tsx', main];

export type Environment = Partial<Record<Setting | 'NODE_OPTIONS' | 'OTEL_BSP_SCHEDULE_DELAY', string>>;

export function start(args: readonly string[], environment: Environment = {}): ChildProcess {
  const own = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(DATA_DIR|(CUSTOMERS_|ORDERS_)?DATABASE_URL|PORT|HOST|PROFILE|FEED|VIEWS|ROLES|CONTEXTS|AUTH|LOG_LEVEL|(KAFKA|ELASTICSEARCH|OTEL)_\w+|NODE_V8_COVERAGE)$/.test(name)));
  return spawn(process.execPath, [...command, ...args], { env: { ...own, NODE_V8_COVERAGE: undefined, ...environment }, stdio: ['ignore', 'pipe', 'pipe'] });
}

export interface Finished { code: number | null; out: string; err: string }

export function finished(child: ChildProcess): Promise<Finished> {
  let [out, err] = ['', ''];
  child.stdout?.on('data', (chunk: Buffer) => { out += chunk.toString(); });
  child.stderr?.on('data', (chunk: Buffer) => { err += chunk.toString(); });
  return new Promise((resolve) => child.once('close', (code) => { resolve({ code, out, err }); }));
}

/** Runs a command to its end. */
export function run(args: readonly string[], environment: Environment = {}): Promise<Finished> {
  return finished(start(args, environment));
}

export interface Running {
  /** Empty when the process does not answer HTTP. */
  url: string;
  banner: string;
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

/** `orderfold serve` on a free port, once it says that it is ready. */
export function serve(environment: Environment, ...flags: string[]): Promise<Running> {
  const child = start(['serve', '--port', '0', ...flags], environment);
  return new Promise((resolve, reject) => {
    let banner = '';
    const ended = new Promise<number | null>((end) => child.once('exit', end));
    child.stdout?.on('data', (chunk: Buffer) => {
      banner += chunk.toString();
      const [, url = ''] = /^Orderfold is (?:ready at (\S+)|running .*)\n/m.exec(banner) ?? [];
      if (url !== '' || banner.includes('is running')) resolve({ url, banner, stop: (signal = 'SIGTERM') => { child.kill(signal); return ended; } });
    });
    let err = '';
    child.stderr?.on('data', (chunk: Buffer) => { err += chunk.toString(); });
    void ended.then((code) => { reject(new Error(`serve ended with ${code ?? 'no code'}: ${err}`)); });
  });
}

export interface OwnService {
  directory: string;
  /** Settings for what runs on that directory. */
  environment: Environment;
  /** Stopped at the end of the test. */
  running?: Running | undefined;
}

/** For each test of the suite a data directory, which is gone afterwards, as is the service that runs on it. */
export function ownService(): OwnService {
  const own: OwnService = { directory: '', environment: {} };
  beforeEach(async () => {
    own.directory = await temporaryDirectory();
    own.environment = { DATA_DIR: own.directory, LOG_LEVEL: 'fatal' };
  });
  afterEach(async () => {
    await own.running?.stop();
    own.running = undefined;
    await rm(own.directory, { recursive: true, force: true });
  });
  return own;
}
