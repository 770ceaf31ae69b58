import type { Client } from 'pg';
import type { Leadership } from '../../application/ports/leadership.js';
import { pause } from '../../application/supervisor.js';
import { endClient, type Database } from './database.js';

const pollMs = 500;
/** A leader that has not been answered knows that it leads no more (this, and the time for an answer) before the server gives its lock to another one. */
const beatMs = 3_000;
const leaseMs = 15_000;

/**
 * A session's advisory lock per name: PostgreSQL gives it up when the process dies, so another one takes over within half a second; and when it hears
 * nothing from the leader for 15 s, as behind a network that swallows everything.
 */
export class PostgresLeadership implements Leadership {
  constructor(private readonly database: Database) {}

  async lead(name: string, stop: AbortSignal, work: (stop: AbortSignal) => Promise<void>): Promise<void> {
    const client = await this.database.connect('runtime');
    const lost = new AbortController();
    client.on('error', () => { lost.abort(); });
    client.on('end', () => { lost.abort(); });
    const ends = AbortSignal.any([stop, lost.signal]);
    let beat: NodeJS.Timeout | undefined;
    try {
      await client.query(`set idle_session_timeout = ${leaseMs}`);
      while (!await lock(client, name)) {
        await pause(pollMs, ends);
        if (ends.aborted) return;
      }
      beat = setInterval(() => { client.query('select').catch(() => { lost.abort(); }); }, beatMs);
      await work(ends);
    } finally {
      clearInterval(beat);
      await endClient(client);
    }
  }
}

async function lock(client: Client, name: string): Promise<boolean> {
  const { rows } = await client.query<{ locked: boolean }>("select pg_try_advisory_lock(hashtextextended('orderfold ' || $1, 0)) as locked", [name]);
  return rows[0]?.locked === true;
}
