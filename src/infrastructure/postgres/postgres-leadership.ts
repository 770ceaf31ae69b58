import type { Client } from 'pg';
import type { Leadership } from '../../application/ports/leadership.js';
import { pause } from '../../application/supervisor.js';
import type { Database } from './database.js';

const pollMs = 500;

/** A session's advisory lock per name: PostgreSQL gives it up when the process dies, so another one takes over within half a second. */
export class PostgresLeadership implements Leadership {
  constructor(private readonly database: Database) {}

  async lead(name: string, stop: AbortSignal, work: (stop: AbortSignal) => Promise<void>): Promise<void> {
    const client = await this.database.connect('runtime');
    const lost = new AbortController();
    client.on('error', () => { lost.abort(); });
    client.on('end', () => { lost.abort(); });
    const ends = AbortSignal.any([stop, lost.signal]);
    try {
      while (!await lock(client, name)) {
        await pause(pollMs, ends);
        if (ends.aborted) return;
      }
      await work(ends);
    } finally {
      await client.end().catch(() => undefined);
    }
  }
}

async function lock(client: Client, name: string): Promise<boolean> {
  const { rows } = await client.query<{ locked: boolean }>("select pg_try_advisory_lock(hashtextextended('orderfold ' || $1, 0)) as locked", [name]);
  return rows[0]?.locked === true;
}
