import { withController } from '../concurrency/abort.js';
import { Wakeable } from '../concurrency/wakeable.js';
import { createPages } from './pages.js';
import { source, sourceOf } from './partition.js';
import type { EventFeed, FeedBatch, Progress, Subscription } from '../ports/event-feed.js';
import type { EventStore, EventStores } from '../ports/event-store.js';
import type { LogSignal } from '../ports/log-signal.js';
import type { Context } from '../../domain/events.js';

/** When a subscriber is behind, a long page lets it write a document once for several of its events. */
const pageSize = 5_000;
const pollMs = 400;
const heartbeatMs = 800;

/** Feeds straight from the logs: woken by their signal, and polling as well, because a signal can be lost. */
export class LogFeed implements EventFeed {
  readonly shared = false;

  constructor(private readonly stores: Partial<EventStores>, private readonly signal: LogSignal, private readonly partitions: number) {}

  async run({ contexts, reached, onBatch }: Subscription, stop: AbortSignal): Promise<void> {
    const start = await reached();
    let turn: Promise<void> = Promise.resolve();
    // Several contexts are read side by side; their batches are handed over one at a time.
    const deliver = (batch: FeedBatch) => (turn = turn.then(() => onBatch(batch)));
    const results = await withController(stop, (ended) => Promise.allSettled(contexts.map(async (context) => {
      try {
        await this.follow(context, start, deliver, ended.signal);
      } catch (error) {
        ended.abort();
        throw error;
      }
    })));
    const failed = results.find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }

  private async follow(
    context: Context, start: Progress, deliver: (batch: FeedBatch) => Promise<void>, stop: AbortSignal,
  ): Promise<void> {
    const store: EventStore | undefined = this.stores[context];
    if (store === undefined) throw new Error(`the log of ${context} is not at hand`);
    const epochs = { [context]: (await store.head()).epoch };
    const news = new Wakeable();
    const unsubscribe = this.signal.subscribe(context, () => { news.wake(); });
    try {
      // Everything up to the lowest position was seen; above it, subscribers drop the duplicates.
      let after = Math.min(...this.sources(context).map((one) => start[one] ?? 0));
      let delivered = -Infinity;
      const pageBehind = createPages(store, pageSize);
      while (!stop.aborted) {
        const { seen } = news;
        const { events, next } = await pageBehind(after);
        const end = events.at(-1)?.position ?? after;
        if (events.length > 0 || performance.now() - delivered >= heartbeatMs) {
          await deliver({
            events: events.map((event) => ({ source: sourceOf(event, this.partitions), event })),
            progress: this.progressAt(context, end),
            behindSince: next?.recordedAt ?? null,
            epochs,
          });
          after = end;
          delivered = performance.now();
        }
        if (next === undefined) await news.wait(seen, pollMs, stop);
      }
    } finally {
      unsubscribe();
    }
  }

  private sources(context: Context) {
    return Array.from({ length: this.partitions }, (_, partition) => source(context, partition));
  }

  /** Progress of all partitions: whoever has read the log up to a position has seen every partition up to there. */
  private progressAt(context: Context, position: number): Progress {
    return Object.fromEntries(this.sources(context).map((one) => [one, position]));
  }
}
