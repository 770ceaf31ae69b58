import type { Logger } from '../../../application/ports/logger.js';
import { pause } from '../../../application/concurrency/pause.js';
import type { Database } from '../connection/database.js';

const hourMs = 3_600_000;
/** So many rows are deleted within milliseconds, and nobody is held up. */
const chunk = 1_000;
/** A rest between chunks: commands are in a hurry, and old rows are not. */
const restMs = 20;

const statements = [
  'delete from idempotency where ctid = any(array(select ctid from idempotency where at < now() - make_interval(hours => $1) limit $2))',
  'delete from commands where ctid = any(array(select ctid from commands where finished_at < now() - make_interval(hours => $1) limit $2))',
];

/** Deletes the results of requests and the commands that ended more than `hours` ago. Those of policies as well: their checkpoints are past them by then. */
export async function pruneIdempotency(database: Database, hours: number, stop: AbortSignal = new AbortController().signal): Promise<void> {
  for (const statement of statements) {
    for (let deleted = chunk; deleted === chunk && !stop.aborted;) {
      deleted = (await database.statements.query(statement, [hours, chunk])).rowCount ?? 0;
      if (deleted === chunk) await pause(restMs, stop);
    }
  }
}

/** Prunes now and every hour, until it is ended. What a failed run leaves, the next one deletes; the failure is logged once. */
export function pruneHourly(databases: readonly Database[], hours: number, logger: Logger): { end: () => Promise<void> } {
  const stop = new AbortController();
  const failing = new Set<Database>();
  const pruned = async (database: Database): Promise<void> => {
    try {
      await pruneIdempotency(database, hours, stop.signal);
      failing.delete(database);
    } catch (error) {
      if (!failing.has(database)) {
        logger.warn({ err: error, schema: database.schema }, 'old results of requests could not be forgotten; that is tried again every hour');
      }
      failing.add(database);
    }
  };
  let running: Promise<unknown> = Promise.resolve();
  // A run that takes longer than an hour is followed by the next one, never joined by it.
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
