import type { Logger } from '../../../application/ports/logger.js';
import { pause } from '../../../application/concurrency/pause.js';
import type { Database } from '../connection/database.js';

const hourMs = 3_600_000;
/** Takes milliseconds, and holds nobody up. */
const chunk = 1_000;
/** Between chunks: what is old is in no hurry, and commands are. */
const restMs = 20;

const statements = [
  'delete from idempotency where ctid = any(array(select ctid from idempotency where at < now() - make_interval(hours => $1) limit $2))',
  'delete from commands where ctid = any(array(select ctid from commands where finished_at < now() - make_interval(hours => $1) limit $2))',
];

/** Forgets the results of requests, and the commands that ended, more than `hours` ago. A policy's are kept as long: its checkpoint is past them by then. */
export async function pruneIdempotency(database: Database, hours: number, stop: AbortSignal = new AbortController().signal): Promise<void> {
  for (const statement of statements) {
    for (let deleted = chunk; deleted === chunk && !stop.aborted;) {
      deleted = (await database.statements.query(statement, [hours, chunk])).rowCount ?? 0;
      if (deleted === chunk) await pause(restMs, stop);
    }
  }
}

/** Now and every hour, until it is ended. One that fails is made up for by the next one; the log says so once. */
export function pruneHourly(databases: readonly Database[], hours: number, logger: Logger): { end: () => Promise<void> } {
  const stop = new AbortController();
  const failing = new Set<Database>();
  const pruned = async (database: Database): Promise<void> => {
    try {
      await pruneIdempotency(database, hours, stop.signal);
      failing.delete(database);
    } catch (error) {
      if (!failing.has(database)) logger.warn({ err: error, schema: database.schema }, 'old results of requests could not be forgotten; that is tried again every hour');
      failing.add(database);
    }
  };
  let running: Promise<unknown> = Promise.resolve();
  // An hour that was not enough goes on into the next one.
  const prune = () => { running = running.then(() => Promise.all(databases.map(pruned))); };
  prune();
  const hourly = setInterval(prune, hourMs);
  return {
    async end() {
      clearInterval(hourly);
      stop.abort();
      await running;
    },
  };
}
