import type { Source } from '../../../application/ports/event-feed.js';

/** The broker answers a fetch after this time, also when nothing is new. */
export const fetchWaitMs = 250;
export const stuckAfterMs = 30_000;

interface Place {
  /** The next offset to be read, as far as it is known. */
  offset: bigint | undefined;
  /** When it last moved, by `performance.now()`. */
  since: number;
}

/** The partitions that the group has given to this member: how far each one is read, and whether the brokers are still asked for more. */
export class HeldPartitions {
  private readonly places = new Map<Source, Place>();
  /** By broker, how often it was asked since the partitions were given out. */
  private readonly fetches = new Map<number, number>();
  private lastFetch = performance.now();

  get sources(): Source[] {
    return [...this.places.keys()];
  }

  /** The partitions were given out anew: these are ours. */
  begin(sources: readonly Source[]): void {
    this.places.clear();
    for (const one of sources) this.places.set(one, { offset: undefined, since: performance.now() });
    this.fetches.clear();
  }

  fetched(broker: number): void {
    this.lastFetch = performance.now();
    this.fetches.set(broker, (this.fetches.get(broker) ?? 0) + 1);
  }

  /** `offset`: the next one to be read. A batch may end after its partition was given to another member: then it says nothing. */
  moved(one: Source, offset: bigint): void {
    if (this.places.has(one)) this.places.set(one, { offset, since: performance.now() });
  }

  /** It waits on purpose: the watchdog is not to end the other partitions for it. */
  waits(one: Source): void {
    const place = this.places.get(one);
    if (place !== undefined) place.since = performance.now();
  }

  /** Whether every broker is asked, and has been for long enough to have brought what was there. */
  areFetched(): boolean {
    if (this.places.size === 0 || performance.now() - this.lastFetch > 4 * fetchWaitMs) return false;
    // What a first fetch brings is handed over before the second one: until then nobody knows whether anything is new.
    return this.fetches.size > 0 && Math.min(...this.fetches.values()) >= 2;
  }

  /** Those that have not moved for long, perhaps because there is nothing to read. */
  still(): ReadonlySet<Source> {
    return new Set([...this.places].filter(([, place]) => isStill(place)).map(([one]) => one));
  }

  /** Whether it has not moved for long although the topic goes on to `end`. It began at `committed`, if it has not moved at all. */
  isStuck(one: Source, end: bigint, committed: bigint): boolean {
    const place = this.places.get(one);
    return place !== undefined && end > (place.offset ?? committed) && isStill(place);
  }
}

function isStill({ since }: Place): boolean {
  return performance.now() - since > stuckAfterMs;
}
