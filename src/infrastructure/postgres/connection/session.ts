import type { Socket } from 'node:net';
import type pg from 'pg';

const answerMs = 3_000;

/**
 * The settings that every session of ours depends on, whatever the defaults of the server, the database and the role. They are set by a statement once
 * connected, because a pooler refuses startup parameters that it does not know. `default_transaction_read_only` is left as it is: providers set it to save
 * a disk that is nearly full.
 */
const everySession = {
  // Compiling a batch takes longer than planning it.
  jit: 'off',
  timezone: 'UTC',
  datestyle: 'ISO',
  standard_conforming_strings: 'on',
  array_nulls: 'on',
  // Each statement sees what was committed before it: the log is read and written under the lock of its head.
  default_transaction_isolation: 'read committed',
  default_transaction_deferrable: 'off',
  statement_timeout: '30s',
  idle_in_transaction_session_timeout: '30s',
  lock_timeout: '0',
  idle_session_timeout: '0',
  transaction_timeout: '0',
  // What is acknowledged is on the disk. A stricter setting than `on`, which waits for a standby, stays as it is.
  synchronous_commit: 'on',
};

/** Sets what a session depends on; `own` wins. A setting that the server is too old to know is skipped. */
export async function setUpSession(client: pg.ClientBase, own: Readonly<Record<string, string>>): Promise<void> {
  const settings = Object.entries({ ...everySession, ...own });
  try {
    const statement: pg.QueryConfig & { query_timeout: number } = {
      text: `select set_config(name, value, false) from unnest($1::text[], $2::text[]) as s(name, value) where current_setting(name, true) is not null
        and (name <> 'synchronous_commit' or value = 'off' or current_setting('synchronous_commit') = 'off')`,
      values: [settings.map(([name]) => name), settings.map(([, value]) => value)],
      query_timeout: answerMs,
    };
    await client.query(statement);
  } catch (error) {
    // Destroyed, because to end the connection would wait for a server that may have fallen silent.
    (client as unknown as { connection: { stream: Socket } }).connection.stream.destroy();
    throw error;
  }
}
