import type { Database } from './database.js';

/** Forgets the results of requests older than `hours`. A policy's are kept as long: its checkpoint is past them by then. */
export async function pruneIdempotency(database: Database, hours: number): Promise<void> {
  await database.reads.query("delete from idempotency where at < now() - make_interval(hours => $1)", [hours]);
}
