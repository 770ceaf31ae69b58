import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { OperatorError } from '../../process/operator-error.js';
import { connectionOptions, endClient } from './database.js';

const rounds = 3;
const answerMs = 5_000;
const mark = 'orderfold.session';

/**
 * Locks, notifications and settings belong to a session, which a pooler breaks when it gives each transaction to any of its server connections. To find out,
 * `first` sets a mark in its session, and a second client then occupies a server connection by a transaction. With such a pooler, either the second client got
 * the marked connection and sees the mark, or `first` gets another connection and misses it.
 * @throws OperatorError when sessions are not kept apart
 */
export async function refuseTransactionPooling(url: string, first: pg.Client): Promise<void> {
  const other = new pg.Client({ ...connectionOptions(url), query_timeout: answerMs });
  other.on('error', () => undefined);
  try {
    await other.connect();
    for (let round = 0; round < rounds; round++) {
      const own = randomUUID();
      await first.query('select set_config($1, $2, false)', [mark, own]);
      await other.query('begin');
      if (await markOf(other) === own || await markOf(first) !== own) throw refusal(url);
      await other.query('rollback');
    }
  } catch (error) {
    // PgBouncer's statement pooling.
    throw error instanceof pg.DatabaseError && error.message.includes('statement pooling') ? refusal(url) : error;
  } finally {
    await endClient(other);
  }
}

async function markOf(client: pg.Client): Promise<string | null | undefined> {
  const { rows } = await client.query<{ mark: string | null }>('select current_setting($1, true) as mark', [mark]);
  return rows[0]?.mark;
}

function refusal(url: string): OperatorError {
  const { host, pathname } = new URL(url);
  return new OperatorError(`The pooler at ${host}${pathname} pools by transaction: locks, notifications and settings of a session would be lost. `
    + 'Use pool_mode = session, or the address of PostgreSQL itself.');
}
