import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { openEmbeddedPostgres } from '../../src/infrastructure/postgres/embedded/embedded-postgres.js';
import { migrate } from '../../src/infrastructure/postgres/connection/migrate.js';
import { notRun } from './not-run.js';

export interface TestDatabase {
  url: string;
  drop(): Promise<void>;
}

/** A server that the suites run on. */
export interface TestServer {
  name: 'postgres' | 'postgres (stock server)';
  freshDatabase(options?: { migrated?: boolean }): Promise<TestDatabase>;
}

interface OpenServer {
  url: string;
  /** A migrated database that others are copied from: that takes a third of the time. */
  template?: Promise<string>;
  close(): Promise<void>;
}

/** A PostgreSQL with the settings that it came with. */
export const stockUrl = process.env.TEST_DATABASE_URL;
const servers = new Map<TestServer['name'], Promise<OpenServer>>();
const run = `orderfold_test_${process.pid}_${randomBytes(4).toString('hex')}`;
let databases = 0;

export const embedded: TestServer = { name: 'postgres', freshDatabase: (options) => freshOn('postgres', startEmbedded, options) };
export const stock: TestServer | undefined = stockUrl === undefined ? undefined : { name: 'postgres (stock server)', freshDatabase: (options) => freshOn('postgres (stock server)', () => openStock(stockUrl), options) };

export const postgresServers = [embedded, ...(stock === undefined ? [] : [stock])];

/** A suite for the embedded server and for the stock one; where that is not named it is reported as pending, and that is a failure in CI. */
export function onEachPostgres(suite: string, tests: (server: TestServer) => void): void {
  for (const server of postgresServers) tests(server);
  if (stock === undefined) notRun(`${suite} (stock server)`, 'TEST_DATABASE_URL names a PostgreSQL that has its default settings');
}

/** A new database on the test run's own embedded server, which is started at first use. */
export const freshDatabase = embedded.freshDatabase;

async function freshOn(name: TestServer['name'], open: () => Promise<OpenServer>, { migrated = true } = {}): Promise<TestDatabase> {
  const opening = servers.get(name) ?? open();
  // Under tsx the hooks that stop it are given a copy of this module that knows nothing of it.
  if (servers.size === 0) process.once('beforeExit', () => { void stopPostgres(); });
  servers.set(name, opening);
  const server = await opening;
  if (migrated) server.template ??= makeTemplate(server.url);
  const template = migrated ? await server.template : undefined;
  const database = `${run}_${++databases}`;
  await admin(server.url, `create database ${database}${template === undefined ? '' : ` template ${template}`}`);
  return { url: urlOf(server.url, database), drop: () => admin(server.url, `drop database if exists ${database} with (force)`) };
}

async function makeTemplate(serverUrl: string): Promise<string> {
  const template = `${run}_template`;
  await admin(serverUrl, `create database ${template}`);
  await migrate(urlOf(serverUrl, template), ['customers', 'orders', 'views']);
  return template;
}

let fsync = true;

/** For tests, which cut no power: what it costs to wait for the disk is for the bench to say. */
export function doNotWaitForTheDisk(): void {
  fsync = false;
}

/** Ends what `freshDatabase` started. */
export async function stopPostgres(): Promise<void> {
  const open = [...servers.values()];
  servers.clear();
  await Promise.all(open.map(async (server) => (await server).close()));
}

/** An empty directory that the user `postgres` may enter when the tests run as root. */
export async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'orderfold-test-'));
  await chmod(directory, 0o755);
  return directory;
}

async function startEmbedded(): Promise<OpenServer> {
  const directory = await temporaryDirectory();
  const server = await openEmbeddedPostgres(directory);
  if (!fsync) for (const statement of ['alter system set fsync = off', 'select pg_reload_conf()']) await admin(server.url, statement);
  return {
    url: server.url,
    async close() {
      await server.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

function openStock(url: string): Promise<OpenServer> {
  return Promise.resolve({ url, close: () => admin(url, `drop database if exists ${run}_template with (force)`) });
}

function urlOf(serverUrl: string, database: string): string {
  const url = new URL(serverUrl);
  url.pathname = `/${database}`;
  return url.toString();
}

async function admin(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}
