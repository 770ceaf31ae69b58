import type { EventFeed } from '../ports/event-feed.js';

const longestHoldMs = 1_000;

/**
 * Node.js accepts one new connection per turn of its event loop. A turn that also answers requests or folds a batch takes milliseconds, so the last of
 * a thousand connections that come at once would wait for seconds. While connections arrive turn after turn, other work is therefore held back, and the
 * turns are short.
 */
export class Arrivals {
  private arrived = false;
  private watching = false;
  private turns = 0;
  private held: (() => void)[] = [];
  private heldSince = 0;

  /** A connection was accepted. */
  connected(): void {
    this.arrived = true;
    if (this.watching) return;
    this.watching = true;
    setImmediate(() => { this.turned(); });
  }

  /** Does `work` now, or, while connections arrive, after the first turn without one: a second later at most. */
  afterwards(work: () => void): void {
    if (this.turns < 2) {
      work();
      return;
    }
    if (this.held.length === 0) this.heldSince = performance.now();
    this.held.push(work);
  }

  private turned(): void {
    this.turns = this.arrived ? this.turns + 1 : 0;
    this.arrived = false;
    this.watching = this.turns > 0;
    if (this.watching) setImmediate(() => { this.turned(); });
    if (this.held.length === 0 || (this.watching && performance.now() - this.heldSince < longestHoldMs)) return;
    const due = this.held;
    this.held = [];
    for (const work of due) work();
  }
}

/** The same feed; its batches give way to arriving connections. */
export function afterArrivals(feed: EventFeed, arrivals: Arrivals): EventFeed {
  return {
    shared: feed.shared,
    run: (subscription, stop) => feed.run({
      ...subscription,
      async onBatch(batch) {
        await new Promise<void>((resolve) => { arrivals.afterwards(resolve); });
        return subscription.onBatch(batch);
      },
    }, stop),
  };
}
