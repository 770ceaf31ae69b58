import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, chown, mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import type { Logger } from '../../../application/ports/logger.js';
import { makeDataDirectory } from '../../process/data-directory.js';
import { freePort } from '../../process/free-port.js';
import { OperatorError } from '../../process/operator-error.js';
import { exclusively, isRunning } from '../../process/process-lock.js';
import { applicationName } from '../connection/database.js';
import { findBinaries, wayOut, type Binaries } from './binaries.js';
import { keepRunning } from './keep-running.js';

const run = promisify(execFile);
const user = 'orderfold';
const database = 'orderfold';
const startMs = 15_000;

export interface EmbeddedPostgres {
  url: string;
  /** Restarts the server whenever it ends by itself, until the watch is ended. A server that another process started is watched there. */
  watch(logger: Logger): { end(): Promise<void> };
  /** Stops the server, unless another process of this service still uses it. */
  close(): Promise<void>;
}

/** The user that the server runs as; `undefined`: the user of this process. PostgreSQL refuses to run as root. */
type Account = { uid: number; gid: number } | undefined;

/**
 * Opens a real PostgreSQL server under `<dataDir>/postgres`, on a free port of 127.0.0.1. It is made at first use, and shared when it is already running.
 * @throws OperatorError that names the cause and DATABASE_URL as the way out
 */
export async function openEmbeddedPostgres(dataDir: string): Promise<EmbeddedPostgres> {
  const cluster = join(dataDir, 'postgres');
  const binaries = await findBinaries();
  await makeDataDirectory(dataDir);
  const account = await serverAccount();
  await checkAccess(account, dataDir, binaries);
  const passwordFile = join(dataDir, 'postgres-password');
  const lock = join(dataDir, 'starting.lock');
  return exclusively(lock, async () => {
    if (!existsSync(join(cluster, 'PG_VERSION'))) await initialise(binaries, cluster, passwordFile, account);
    const password = (await readFile(passwordFile, 'utf8')).trim();
    const urlAt = (port: number) => `postgres://${user}:${password}@127.0.0.1:${port}/${database}`;
    const { port, started } = await findOrStart(binaries, cluster, account, urlAt);
    const url = urlAt(port);
    await createDatabase(url);
    // When nobody uses the server, the process that started it has ended.
    const isOurs = started || !await withAdmin(url, isUsed);
    return {
      url,
      watch(logger) {
        const stop = new AbortController();
        const start = () => exclusively(lock, async () => { await findOrStart(binaries, cluster, account, urlAt, port); });
        const watching = isOurs ? keepRunning({ isRunning: () => isPostmasterRunning(cluster), start, logger }, stop.signal) : Promise.resolve();
        return {
          end() {
            stop.abort();
            return watching;
          },
        };
      },
      close: () => exclusively(lock, () => stopUnlessShared(binaries, cluster, account, url)),
    };
  });
}


async function serverAccount(): Promise<Account> {
  if (process.getuid?.() !== 0) return undefined;
  const id = async (flag: string) => Number((await run('id', [flag, 'postgres'])).stdout);
  try {
    return { uid: await id('-u'), gid: await id('-g') };
  } catch {
    try {
      await run('groupadd', ['--system', '--force', 'postgres']);
      await run('useradd', ['--system', '--gid', 'postgres', '--no-create-home', 'postgres']);
      return { uid: await id('-u'), gid: await id('-g') };
    } catch (error) {
      throw new OperatorError(`PostgreSQL refuses to run as root, and a user "postgres" could not be made (${(error as Error).message}): `
        + `start the service as an ordinary user, ${wayOut}.`);
    }
  }
}

/** The account of the server must be able to enter the directories of the binaries and of the data. */
async function checkAccess(account: Account, dataDir: string, { postgres }: Binaries): Promise<void> {
  if (account === undefined) return;
  for (const path of [dirname(postgres), dataDir]) {
    for (let directory = path; ; directory = dirname(directory)) {
      const { mode, uid, gid } = await stat(directory);
      const bit = uid === account.uid ? 0o100 : gid === account.gid ? 0o010 : 0o001;
      if ((mode & bit) === 0) {
        throw new OperatorError(`The embedded PostgreSQL runs as the user "postgres", which may not enter ${directory}: `
          + `move the project or DATA_DIR to where it may, start the service as an ordinary user, ${wayOut}.`);
      }
      if (directory === dirname(directory)) break;
    }
  }
}

async function initialise({ initdb }: Binaries, cluster: string, passwordFile: string, account: Account): Promise<void> {
  // A directory without PG_VERSION was left by an interrupted initdb.
  await rm(cluster, { recursive: true, force: true });
  await mkdir(cluster, { mode: 0o700 });
  await writeFile(passwordFile, randomBytes(18).toString('base64url'), { mode: 0o600 });
  if (account !== undefined) {
    await chown(cluster, account.uid, account.gid);
    await chown(passwordFile, account.uid, account.gid);
  }
  await as(account, initdb, [
    '--pgdata', cluster,
    '--username', user,
    '--pwfile', passwordFile,
    '--auth', 'scram-sha-256',
    '--encoding', 'UTF8',
    '--locale', 'C',
    '--no-instructions',
  ]);
  await chmod(passwordFile, 0o600);
}

async function as(account: Account, command: string, args: string[]): Promise<void> {
  try {
    await run(command, args, { cwd: '/', ...account, env: { ...baseEnvironment, LC_ALL: 'C' } });
  } catch (error) {
    const { stderr = '', message } = error as Error & { stderr?: string };
    throw new OperatorError(`The embedded PostgreSQL did not do what it should (${(stderr.trim() || message).replaceAll(/\s*\n\s*/g, ' ')}): ${wayOut}.`);
  }
}

/** The server gets none of this process's variables, which may hold secrets. */
const baseEnvironment = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' };

/** Retries a failed start: after a crash, processes of the old server and their shared memory may keep the new one from starting for a moment. */
async function findOrStart(
  binaries: Binaries, cluster: string, account: Account, urlAt: (port: number) => string, at?: number,
): Promise<{ port: number; started: boolean }> {
  for (const deadline = performance.now() + startMs; ;) {
    const found = await runningPort(cluster, urlAt);
    if (found !== undefined) return { port: found, started: false };
    try {
      const port = at ?? await freePort();
      await start(binaries, cluster, account, port);
      return { port, started: true };
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
}

/** The port of a server that already runs here: that of a running service, or one that kill -9 left behind. */
async function runningPort(cluster: string, urlAt: (port: number) => string): Promise<number | undefined> {
  const { pid, port } = await readPidFile(cluster);
  if (!(port > 0) || !(pid > 0) || !await isRunning(pid)) return undefined;
  for (let tries = 0; tries < 100; tries++) {
    const client = new pg.Client({ connectionString: urlAt(port).replace(/\/[^/]*$/, '/postgres'), connectionTimeoutMillis: 2_000 });
    client.on('error', () => undefined);
    try {
      await client.connect();
      return port;
    } catch (error) {
      // 57P03: it is starting, or recovering from a crash. A refused connection: the pid belongs to another program by now.
      if ((error as { code?: string }).code !== '57P03') return undefined;
      await new Promise((resolve) => setTimeout(resolve, 100));
    } finally {
      await client.end().catch(() => undefined);
    }
  }
  return undefined;
}

async function readPidFile(cluster: string): Promise<{ pid: number; port: number }> {
  const text = await readFile(join(cluster, 'postmaster.pid'), 'utf8').catch(() => '');
  const [pid = 0, , , port = 0] = text.split('\n').map(Number);
  return { pid, port };
}

async function isPostmasterRunning(cluster: string): Promise<boolean> {
  const { pid } = await readPidFile(cluster);
  return pid > 0 && await isRunning(pid);
}

async function start({ pg_ctl: control }: Binaries, cluster: string, account: Account, port: number): Promise<void> {
  const settings = {
    listen_addresses: '127.0.0.1',
    port,
    unix_socket_directories: '',
    max_connections: 100,
    shared_buffers: '128MB',
    max_wal_size: '1GB',
    wal_compression: 'on',
    log_min_messages: 'fatal',
  };
  const flags = Object.entries(settings).map(([name, value]) => `-c ${name}='${value}'`).join(' ');
  // pg_ctl puts the server into a session of its own: Ctrl-C in a terminal must not reach it before this process has drained.
  const log = join(cluster, 'server.log');
  await as(account, control, ['start', '--pgdata', cluster, '--wait', '--timeout', '60', '--silent', '--log', log, '--options', flags]);
}

async function withAdmin<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url.replace(/\/[^/]*$/, '/postgres'), connectionTimeoutMillis: 5_000 });
  client.on('error', () => undefined);
  try {
    await client.connect();
    return await work(client);
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function createDatabase(url: string): Promise<void> {
  await withAdmin(url, async (client) => {
    const { rowCount } = await client.query('select from pg_database where datname = $1', [database]);
    if (rowCount === 0) await client.query(`create database ${database}`);
  });
}

async function isUsed(client: pg.Client): Promise<boolean> {
  const { rows } = await client.query<{ used: boolean }>('select count(*) > 0 as used from pg_stat_activity where application_name = $1', [applicationName]);
  return rows[0]?.used === true;
}

/** The connections of this process are closed by now, or about to be: one that stays belongs to another process. */
async function stopUnlessShared({ pg_ctl: control }: Binaries, cluster: string, account: Account, url: string): Promise<void> {
  if (!await isPostmasterRunning(cluster)) return;
  const shared = await withAdmin(url, async (client) => {
    for (let tries = 0; tries < 10; tries++) {
      if (!await isUsed(client)) return false;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return true;
  }).catch(() => false);
  if (!shared) await as(account, control, ['stop', '--pgdata', cluster, '--mode', 'fast', '--wait', '--timeout', '60', '--silent']);
}
