import type { Logger } from '../../application/ports/logger.js';
import type { ViewDeclaration } from '../../application/ports/view-store.js';
import type { Context } from '../../domain/events.js';
import { openDatabase, type Database, type Schema } from '../postgres/connection/database.js';
import { migrate } from '../postgres/connection/migrate.js';
import { openEmbeddedPostgres, type EmbeddedPostgres } from '../postgres/embedded/embedded-postgres.js';
import { keepPartitions } from '../postgres/log/keep-partitions.js';
import { pruneHourly } from '../postgres/log/prune-idempotency.js';
import type { Config } from '../process/config.js';
import type { Lifecycle } from '../process/lifecycle.js';
import type { Databases } from './tokens.js';

type Urls = Readonly<Partial<Record<Context, string>>>;

/** The databases of the contexts that this process serves: up to date, open, and looked after until they are closed. */
export async function openDatabases(config: Config, lifecycle: Lifecycle, logger: Logger): Promise<Databases> {
  const server = config.databases === undefined ? await openServer(config, lifecycle) : undefined;
  const urls: Urls = server === undefined ? config.databases ?? {} : { customers: server.url, orders: server.url };
  await migrateAll(urls, config);
  const databases = await openAll(urls, config, lifecycle);
  lookAfter(databases, server, config, lifecycle, logger);
  return databases;
}

async function openServer({ dataDir }: Config, lifecycle: Lifecycle): Promise<EmbeddedPostgres> {
  const server = await openEmbeddedPostgres(dataDir);
  lifecycle.opens('embedded PostgreSQL', () => server.close());
  return server;
}

async function migrateAll(urls: Urls, { contexts, adapters }: Config): Promise<void> {
  for (const url of new Set(contexts.map((context) => configured(urls[context])))) {
    const schemas: Schema[] = contexts.filter((context) => urls[context] === url);
    await migrate(url, adapters.views === 'postgres' ? [...schemas, 'views'] : schemas);
  }
}

async function openAll(urls: Urls, { contexts, adapters, partitions }: Config, lifecycle: Lifecycle): Promise<Databases> {
  const open = (schema: Schema, url: string) => {
    const database = openDatabase(url, schema);
    lifecycle.opens(`database of ${schema}`, () => database.close());
    return database;
  };
  const databases: Databases = { logs: {}, views: {} };
  for (const context of contexts) {
    const url = configured(urls[context]);
    const log = databases.logs[context] = open(context, url);
    await keepPartitions(log, partitions);
    if (adapters.views !== 'postgres') continue;
    // A view is stored beside the log of the context that serves it, in a schema of its own. It is found there whatever else a process serves.
    databases.views[context] = Object.values(databases.views).find((views) => views.url === url) ?? open('views', url);
  }
  return databases;
}

function lookAfter(
  databases: Databases, server: EmbeddedPostgres | undefined, { contexts, idempotencyRetentionHours }: Config, lifecycle: Lifecycle, logger: Logger,
): void {
  const pruning = pruneHourly(contexts.map((context) => logOf(databases, context)), idempotencyRetentionHours, logger);
  lifecycle.opens('hourly pruning', () => pruning.end());
  // Opened last, so that it ends first: a server that is being closed must not be started again.
  const watch = server?.watch(logger);
  if (watch !== undefined) lifecycle.opens('watch over the embedded PostgreSQL', () => watch.end());
}

export function logOf({ logs }: Databases, context: Context): Database {
  return configured(logs[context]);
}

export function viewsOf({ logs, views }: Databases): (view: ViewDeclaration) => Database {
  return ({ home, servedBy }) => configured(home === 'views' ? views[servedBy] : logs[home]);
}

/** The value of a setting that the chosen adapter needs. The configuration was validated, so that it cannot be missing. */
export function configured<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('an adapter was chosen without its configuration');
  return value;
}
