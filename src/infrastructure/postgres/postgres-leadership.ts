import type { Client } from 'pg';
import type { Leadership } from '../../application/ports/leadership.js';
import { pause } from '../../application/supervisor.js';
import { endClient, type Database } from './database.js';

const pollMs = 500;
/** A leader that is not answered knows that it leads no more, after the first two together, before the server gives its lock to another one. */
const lease = { beatMs: 3_000, answerMs: 5_000, leaseMs: 15_000 };

/**
 * A session's advisory lock per name: PostgreSQL gives it up when the process dies, so another one takes over within half a second; and when it hears
 * nothing from the leader for 15 s, as behind a network that swallows everything.
 */
export class PostgresLeadership implements Leadership {
  constructor(private readonly database: Database, private readonly limits = lease) {}

  async lead(name: string, stop: AbortSignal, work: (stop: AbortSignal) => Promise<void>): Promise<void> {
    const client = await this.database.connect('runtime');
    const lost = new AbortController();
    client.on('error', () => { lost.abort(); });
    client.on('end', () => { lost.abort(); });
    const ends = AbortSignal.any([stop, lost.signal]);
    let beat: NodeJS.Timeout | undefined;
    try {
      await client.query(`set idle_session_timeout = ${this.limits.leaseMs}`);
      while (!await lock(client, name)) {
        await pause(pollMs, ends);
        if (ends.aborted) return;
      }
      const question = { text: 'select', query_timeout: this.limits.answerMs };
      let asking = false;
      beat = setInterval(() => {
        if (asking) return;
        asking = true;
        client.query(question).then(() => { asking = false; }, () => { lost.abort(); });
      }, this.limits.beatMs);
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
