/** The broker's clock, in milliseconds since 1970, as this process knows it from the stamps of the operations. */
export class BrokerClock {
  /** By how much it is ahead of `performance.now()`; before the first stamp, it is before everything. */
  private ahead = -Infinity;

  now(): number {
    return this.at(performance.now());
  }

  /** What it shows when `performance.now()` is `time`. */
  at(time: number): number {
    return this.ahead + time;
  }

  /** It showed `stamp` before now, and after `since` (by `performance.now()`), where this process asked for the stamp. */
  heard(stamp: number, since = -Infinity): void {
    this.ahead = Math.min(Math.max(this.ahead, stamp - performance.now()), stamp - since);
  }
}
