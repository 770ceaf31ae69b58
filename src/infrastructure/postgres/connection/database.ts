import type { Socket } from 'node:net';
import pg from 'pg';
import type { Context } from '../../../domain/events.js';
import { isLost } from './outage.js';
import { setUpSession } from './session.js';

export type Schema = Context | 'views';

/** One schema of one database, reached as that schema's runtime role. */
export interface Database {
  readonly url: string;
  readonly schema: Schema;
  /** For the log's group commit, which uses two connections. */
  readonly appends: pg.Pool;
  /** For all else that is answered at once: look-ups, lists, and the small changes of queues and snapshots. */
  readonly statements: pg.Pool;
  /**
   * For views and checkpoints, which are folded from a log and can be folded again: a commit does not wait for the disk. A crash of the server may lose
   * the last commits, all after some point; the events that they were made from are then delivered again.
   */
  readonly derived: pg.Pool;
  /** How many connections have been lost so far. */
  readonly interruptions: number;
  /** Runs `work` on a connection of its own. `as`: the login role (for DDL), or the runtime role (to listen, to hold a lock). */
  connect(as: 'owner' | 'runtime'): Promise<pg.Client>;
  close(): Promise<void>;
}

/** Shown in `pg_stat_activity`. */
export const applicationName = 'orderfold';

/** A network can swallow everything, so that neither an answer nor an error ever comes: a query fails after this. A batch of a view may take longer. */
const answerMs = 5_000;
const derivedMs = 10_000;
const endMs = 1_000;

export function openDatabase(url: string, schema: Schema): Database {
  let interruptions = 0;
  const runtime = { search_path: schema, role: `orderfold_${schema}` };
  const pool = (max: number, session: Readonly<Record<string, string>> = runtime, query_timeout = answerMs) => {
    // The pool awaits it, though the type of `onConnect` does not say so.
    const setUp: (client: pg.ClientBase) => unknown = (client) => {
      client.on('error', () => undefined);
      return setUpSession(client, session);
    };
    const pool = new pg.Pool({ ...connectionOptions(url), max, idleTimeoutMillis: 60_000, query_timeout, onConnect: setUp });
    pool.on('error', () => undefined);
    pool.on('connect', (client) => { client.on('error', () => { interruptions++; }); });
    pool.on('release', (error) => { if (isLost(error)) interruptions++; });
    return pool;
  };
  const appends = pool(2);
  // A customer may have ten orders or a tenth of all: each list is planned for its own parameters, and only its text is parsed once.
  const statements = pool(6, schema === 'views' ? { ...runtime, plan_cache_mode: 'force_custom_plan' } : runtime);
  const derived = pool(2, { ...runtime, synchronous_commit: 'off' }, derivedMs);
  return {
    url,
    schema,
    appends,
    statements,
    derived,
    get interruptions() { return interruptions; },
    async connect(as) {
      const client = new pg.Client({ ...connectionOptions(url), ...(as === 'runtime' && { query_timeout: answerMs }) });
      // Without a listener, a connection that is lost while idle ends the process.
      client.on('error', () => undefined);
      await client.connect();
      await setUpSession(client, as === 'owner' ? { search_path: schema } : runtime);
      return client;
    },
    async close() {
      await Promise.all([appends.end(), statements.end(), derived.end()]);
    },
  };
}

/** Ends a connection that belongs to no pool. Its socket is destroyed when the server does not answer in time: the end would never come. */
export async function endClient(client: pg.Client): Promise<void> {
  const { stream } = (client as unknown as { connection: { stream: Socket } }).connection;
  const late = setTimeout(() => { stream.destroy(); }, endMs);
  await client.end().catch(() => undefined);
  clearTimeout(late);
}

export function connectionOptions(url: string): pg.ClientConfig {
  return {
    connectionString: url,
    application_name: applicationName,
    connectionTimeoutMillis: 3_000,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    types,
  };
}

type Parser = (text: string) => unknown;

const parsers: Partial<Record<number, Parser>> = {
  // int8 (positions and counts are safe integers), timestamptz (as ISO 8601 in milliseconds).
  20: Number,
  1184: (text) => `${text.slice(0, 10)}T${text.slice(11, 19)}${text.charAt(19) === '.' ? text.slice(19, 23).replace('+', '').padEnd(4, '0') : '.000'}Z`,
};

function parserOf(oid: Parameters<typeof pg.types.getTypeParser>[0]): Parser {
  return parsers[oid] ?? pg.types.getTypeParser(oid, 'text') as Parser;
}

const types: pg.CustomTypesConfig = { getTypeParser: parserOf as typeof pg.types.getTypeParser };
