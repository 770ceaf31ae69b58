import type { Client } from 'pg';
import { withController } from '../../../application/concurrency/abort.js';
import type { Leadership } from '../../../application/ports/leadership.js';
import { pause } from '../../../application/concurrency/pause.js';
import { endClient, type Database } from '../connection/database.js';

const pollMs = 500;
/** A leader that is not answered knows that it leads no more, after the first two together, before the server gives its lock to another one. */
const lease = { beatMs: 3_000, answerMs: 5_000, leaseMs: 15_000 };

/**
 * A session's advisory lock per name: PostgreSQL gives it up when the process dies, so another one takes over within half a second; and when it hears
 * nothing from the leader for 15 s, as behind a network that swallows everything.
 */
export class PostgresLeadership implements Leadership {
  constructor(private readonly database: Database, private readonly limits = lease) {}

  async lead(name: string, stop: AbortSignal, work: (stop: AbortSignal) => Promise<void>, standsBy?: () => void): Promise<void> {
    const client = await this.database.connect('runtime');
    try {
      await withController(stop, (ends) => this.leadOn(client, name, ends, work, standsBy));
    } finally {
      await endClient(client);
    }
  }

  private async leadOn(client: Client, name: string, over: AbortController, work: (stop: AbortSignal) => Promise<void>, standsBy?: () => void): Promise<void> {
    client.on('error', () => { over.abort(); });
    client.on('end', () => { over.abort(); });
    const ends = over.signal;
    let beat: NodeJS.Timeout | undefined;
    try {
      await client.query(`set idle_session_timeout = ${this.limits.leaseMs}`);
      while (!await lock(client, name)) {
        standsBy?.();
        await pause(pollMs, ends);
        if (ends.aborted) return;
      }
      // The one before may have ended by the same stop.
      if (ends.aborted) return;
      const question = { text: 'select', query_timeout: this.limits.answerMs };
      let asking = false;
      beat = setInterval(() => {
        if (asking) return;
        asking = true;
        client.query(question).then(() => { asking = false; }, () => { over.abort(); });
      }, this.limits.beatMs);
      await work(ends);
    } finally {
      clearInterval(beat);
    }
  }
}

async function lock(client: Client, name: string): Promise<boolean> {
  const { rows } = await client.query<{ locked: boolean }>("select pg_try_advisory_lock(hashtextextended('orderfold ' || $1, 0)) as locked", [name]);
  return rows[0]?.locked === true;
}
