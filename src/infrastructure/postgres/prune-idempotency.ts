import type { Database } from './database.js';

/** Forgets the results of requests, and the commands that ended, more than `hours` ago. A policy's are kept as long: its checkpoint is past them by then. */
export async function pruneIdempotency(database: Database, hours: number): Promise<void> {
  await database.reads.query("delete from idempotency where at < now() - make_interval(hours => $1)", [hours]);
  await database.reads.query('delete from commands where finished_at < now() - make_interval(hours => $1)', [hours]);
}
