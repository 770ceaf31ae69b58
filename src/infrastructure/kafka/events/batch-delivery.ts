import { pause } from '../../../application/concurrency/pause.js';
import type { FeedEvent, Progress, Source, Subscription } from '../../../application/ports/event-feed.js';
import type { FeedProgress } from './feed-progress.js';
import type { HeldPartitions } from './held-partitions.js';
import type { LogEpochs } from './log-epochs.js';

/** A batch as big as this keeps a subscriber busy for about a second. */
export const batchSize = 5_000;
/** So long after a batch, nothing new is news as well. */
export const heartbeatMs = 800;
/** From one batch to the next: under load, many small ones cost the subscriber a write each. */
const paceMs = 50;

/** What one partition brought, waiting for the subscriber. */
interface Arrived {
  source: Source;
  events: FeedEvent[];
  /** Position of the last event. */
  reached: number;
  behindSince: string | null;
  delivered: () => void;
}

interface Dependencies {
  subscription: Pick<Subscription, 'onBatch'>;
  progress: FeedProgress;
  held: Pick<HeldPartitions, 'sources'>;
  epochs: Pick<LogEpochs, 'known'>;
  stop: AbortSignal;
  /** Whether the run is over: nothing is delivered any more. */
  ended: () => boolean;
  fail: (error: unknown) => void;
}

/** Delivers what the partitions bring, in batches of several partitions, one at a time. */
export class BatchDelivery {
  private readonly waiting: Arrived[] = [];
  private delivering: Promise<void> | undefined;
  private lastBatch = -Infinity;
  private lastDelivery = -Infinity;

  constructor(private readonly dependencies: Dependencies) {}

  get busy(): boolean {
    return this.delivering !== undefined;
  }

  /** Once the subscriber has taken it, or the run is over. */
  async deliver(arrived: Omit<Arrived, 'delivered'>, heartbeat: () => Promise<void>): Promise<void> {
    const delivered = new Promise<'delivered'>((resolve) => {
      this.waiting.push({ ...arrived, delivered: () => { resolve('delivered'); } });
    });
    this.delivering ??= this.deliverWaiting();
    for (;;) {
      let timer: NodeJS.Timeout | undefined;
      const first = await Promise.race([delivered, new Promise((resolve) => { timer = setTimeout(resolve, 1_000); })]);
      clearTimeout(timer);
      if (first === 'delivered') return;
      // A subscriber that takes its time must not cost us the partition.
      await heartbeat();
    }
  }

  /** An empty batch, where the last one was a while ago. */
  async deliverNothingNew(): Promise<void> {
    if (this.dependencies.ended() || this.busy || performance.now() - this.lastDelivery < heartbeatMs) return;
    this.delivering = (async () => {
      try {
        await this.onBatch([], this.progress());
      } catch (error) {
        this.dependencies.fail(error);
      } finally {
        this.delivering = undefined;
      }
    })();
    await this.delivering;
    if (this.waiting.length > 0) this.delivering ??= this.deliverWaiting();
  }

  /** The run is over: lets go of everybody who waits. */
  async close(): Promise<void> {
    await this.delivering?.catch(() => undefined);
    for (const { delivered } of this.waiting.splice(0)) delivered();
  }

  private async deliverWaiting(): Promise<void> {
    const { progress: known, stop, ended, fail } = this.dependencies;
    let taken: Arrived[] = [];
    try {
      // The other partitions of the same fetch arrive in the same moment.
      await new Promise((resolve) => setImmediate(resolve));
      while (this.waiting.length > 0 && !ended()) {
        await pause(this.lastBatch + paceMs - performance.now(), stop);
        this.lastBatch = performance.now();
        taken = this.take();
        const progress = this.progress();
        for (const { source, reached, behindSince } of taken) {
          progress[source] = reached;
          known.isBehind(source, behindSince);
        }
        await this.onBatch(taken.flatMap(({ events }) => events), progress);
        for (const { source, reached, delivered } of taken) {
          known.reached(source, reached);
          delivered();
        }
      }
    } catch (error) {
      fail(error);
    } finally {
      this.delivering = undefined;
      if (ended()) for (const { delivered } of [...taken, ...this.waiting.splice(0)]) delivered();
    }
  }

  private async onBatch(events: FeedEvent[], progress: Progress): Promise<void> {
    const { subscription, progress: known, epochs } = this.dependencies;
    const waiting = this.waiting.flatMap((one) => one.events[0]?.event.recordedAt ?? []);
    await subscription.onBatch({ events, progress, behindSince: known.behindSince(waiting), epochs: epochs.known });
    this.lastDelivery = performance.now();
  }

  /** All our partitions: no news of one is news as well. */
  private progress(): Partial<Record<Source, number>> {
    const { progress, held } = this.dependencies;
    return progress.of(held.sources);
  }

  /** As much as makes a batch, and no less than one partition's. */
  private take(): Arrived[] {
    let count = 0;
    const rest = this.waiting.findIndex(({ events }) => (count += events.length) > batchSize);
    return this.waiting.splice(0, rest < 0 ? this.waiting.length : Math.max(rest, 1));
  }
}
