import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { OperatorError } from '../../process/operator-error.js';
import { packageRoot } from '../../process/package-root.js';
import { connectionOptions, type Schema } from './database.js';
import { isOutage } from './outage.js';
import { refuseTransactionPooling } from './session-pooling.js';
import { setUpSession } from './session.js';

const migrations = join(packageRoot, 'src/infrastructure/postgres/migrations');
const lock = 0x6f726466; // "ordf"
const oldestVersion = 140_000;

/**
 * Brings the schemas of a database up to date; safe when several processes do it at once.
 * @throws OperatorError when the database cannot be reached or does not allow it
 */
export async function migrate(url: string, schemas: readonly Schema[]): Promise<void> {
  const client = new pg.Client({ ...connectionOptions(url), connectionTimeoutMillis: 5_000 });
  client.on('error', () => undefined);
  try {
    await client.connect();
    // No time limit: to build an index on a large table may take long.
    await setUpSession(client, { statement_timeout: '0' });
    await refuseTransactionPooling(url, client);
    await checkServer(client, url);
    // A lock of our own, because that of node-pg-migrate fails at once, and a second process should wait.
    await client.query('select pg_advisory_lock($1)', [lock]);
    for (const schema of schemas) {
      const directory = join(migrations, schema === 'views' ? 'views' : 'log');
      if (await isCurrent(client, schema, directory)) continue;
      const { runner } = await import('node-pg-migrate');
      await runner({
        dbClient: client,
        dir: directory,
        direction: 'up',
        migrationsTable: 'migrations',
        schema,
        createSchema: true,
        noLock: true,
        verbose: false,
        logger: { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined },
      });
    }
  } catch (error) {
    if (error instanceof OperatorError) throw error;
    const { host, pathname } = new URL(url);
    const reason = error instanceof AggregateError ? error.errors.map(String).join('; ') : error instanceof Error ? error.message : String(error);
    if (isOutage(error) || /ECONN|ENOTFOUND|timeout/.test(reason)) {
      throw new OperatorError(`The database at ${host}${pathname} cannot be reached (${reason}): check that it runs, and DATABASE_URL.`);
    }
    if (error instanceof pg.DatabaseError && error.code === '42501') {
      throw new OperatorError(`The database role may not do what the migrations need (${reason}): `
        + 'let it create schemas and roles, for example GRANT CREATE ON DATABASE … and ALTER ROLE … CREATEROLE.');
    }
    if (error instanceof pg.DatabaseError && /^(28|3D)/.test(error.code ?? '')) {
      throw new OperatorError(`The database at ${host}${pathname} refused the connection (${reason}): check DATABASE_URL.`);
    }
    if (/\bSSL\b|certificate|\bTLS\b/i.test(reason)) {
      throw new OperatorError(`The connection to the database at ${host}${pathname} could not be encrypted as it must be (${reason}): `
        + 'check sslmode and sslrootcert in DATABASE_URL.');
    }
    throw error;
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function checkServer(client: pg.Client, url: string): Promise<void> {
  const { rows: [server] } = await client.query<{ version: number; encoding: string }>(
    "select current_setting('server_version_num')::int as version, current_setting('server_encoding') as encoding");
  if (server === undefined) return;
  const { host, pathname } = new URL(url);
  if (server.version < oldestVersion) {
    throw new OperatorError(`The PostgreSQL at ${host} is too old (${server.version}): version 14 or newer is needed.`);
  }
  if (server.encoding !== 'UTF8') {
    throw new OperatorError(`The database at ${host}${pathname} is encoded in ${server.encoding}, which cannot hold every name: `
      + "make it with ENCODING 'UTF8' TEMPLATE template0.");
  }
}

/** Whether all migrations have run, as they nearly always have: to load the library takes longer than this look-up. */
async function isCurrent(client: pg.Client, schema: Schema, directory: string): Promise<boolean> {
  const { rows: [found] } = await client.query<{ migrations: string | null }>('select to_regclass($1) as migrations', [`${schema}.migrations`]);
  if (found?.migrations == null) return false;
  const { rows } = await client.query<{ name: string }>(`select name from ${schema}.migrations order by name`);
  const files = (await readdir(directory)).map((file) => file.replace(/\.sql$/, '')).sort();
  return rows.map(({ name }) => name).join() === files.join();
}
