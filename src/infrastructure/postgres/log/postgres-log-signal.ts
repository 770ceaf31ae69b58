import type { Client } from 'pg';
import { onAbort } from '../../../application/concurrency/abort.js';
import type { LogSignal } from '../../../application/ports/log-signal.js';
import { pause } from '../../../application/concurrency/pause.js';
import type { Context } from '../../../domain/events.js';
import { endClient, type Database } from '../connection/database.js';

const reconnectMs = 500;
const beatMs = 10_000;

/**
 * Wakes readers in this process at once, and those of other processes by NOTIFY: after the commit (inside the append it halves the throughput), one at
 * a time, so that a burst of batches becomes few notifications.
 */
export class PostgresLogSignal implements LogSignal {
  private readonly stop = new AbortController();
  private readonly listening: Promise<void>[] = [];
  private readonly notifying = new Map<Context, 'once' | 'again'>();

  /** @param local wakes the readers in this process */
  constructor(private readonly databases: Readonly<Partial<Record<Context, Database>>>, private readonly local: LogSignal) {}

  raise(context: Context): void {
    this.local.raise(context);
    if (this.notifying.has(context)) this.notifying.set(context, 'again');
    else void this.notify(context);
  }

  subscribe(context: Context, wake: () => void): () => void {
    // Readers are what needs the other processes' signals: a process without any does not listen.
    if (this.listening.length === 0) this.listening.push(...Object.entries(this.databases).map(([one, database]) => this.listen(one as Context, database)));
    return this.local.subscribe(context, wake);
  }

  async close(): Promise<void> {
    this.stop.abort();
    await Promise.all(this.listening);
  }

  private async notify(context: Context): Promise<void> {
    do {
      this.notifying.set(context, 'once');
      // Lost with the connection: readers poll as well.
      await this.databases[context]?.statements.query(`notify ${channel(context)}`).catch(() => undefined);
    } while (this.notifying.get(context) === 'again');
    this.notifying.delete(context);
  }

  private async listen(context: Context, database: Database): Promise<void> {
    while (!this.stop.signal.aborted) {
      let client: Client | undefined;
      try {
        client = await database.connect('runtime');
        client.on('notification', () => { this.local.raise(context); });
        await client.query(`listen ${channel(context)}`);
        await untilLost(client, this.stop.signal);
      } catch {
        // Tried again below; meanwhile readers poll.
      }
      if (client !== undefined) await endClient(client);
      await pause(reconnectMs, this.stop.signal);
    }
  }
}

function channel(context: Context): string {
  return `orderfold_${context}`;
}

/** A server that has fallen silent is lost as well. */
function untilLost(client: Client, stop: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const beat = setInterval(() => { client.query('select').catch(done); }, beatMs);
    const done = () => {
      clearInterval(beat);
      release();
      resolve();
    };
    client.on('error', done);
    client.on('end', done);
    const release = onAbort(stop, done);
  });
}
