import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { openEmbeddedPostgres, type EmbeddedPostgres } from '../../src/infrastructure/postgres/embedded-postgres.js';
import { migrate } from '../../src/infrastructure/postgres/migrate.js';

export interface TestDatabase {
  url: string;
  drop(): Promise<void>;
}

let server: Promise<{ server: EmbeddedPostgres; directory: string }> | undefined;
let databases = 0;

/** A new database on the test run's own embedded server, which is started at first use. */
export async function freshDatabase({ migrated = true } = {}): Promise<TestDatabase> {
  server ??= startServer();
  const { url: serverUrl } = (await server).server;
  const name = `test_${process.pid}_${++databases}`;
  await admin(serverUrl, `create database ${name}`);
  const url = serverUrl.replace(/\/[^/]*$/, `/${name}`);
  if (migrated) await migrate(url, ['customers', 'orders', 'views']);
  return { url, drop: () => admin(serverUrl, `drop database if exists ${name} with (force)`) };
}

/** Ends the server that `freshDatabase` started. */
export async function stopPostgres(): Promise<void> {
  if (server === undefined) return;
  const { server: running, directory } = await server;
  server = undefined;
  await running.close();
  await rm(directory, { recursive: true, force: true });
}

/** An empty directory that the user `postgres` may enter when the tests run as root. */
export async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'orderfold-test-'));
  await chmod(directory, 0o755);
  return directory;
}

async function startServer() {
  // Under tsx the hooks that stop it are given a copy of this module that knows nothing of it.
  process.once('beforeExit', () => { void stopPostgres(); });
  const directory = await temporaryDirectory();
  return { server: await openEmbeddedPostgres(directory), directory };
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
