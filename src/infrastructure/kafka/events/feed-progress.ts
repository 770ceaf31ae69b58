import type { Source, Subscription } from '../../../application/ports/event-feed.js';

/** How far a subscriber is in each partition, and since when it is behind there. */
export class FeedProgress {
  private positions = new Map<Source, number>();
  private readonly behind = new Map<Source, string>();
  private asked: Promise<void> | undefined;

  constructor(private readonly subscription: Pick<Subscription, 'reached'>) {}

  /** The partitions were given out anew: others may have read on in them. */
  begin(): void {
    this.asked = undefined;
    this.behind.clear();
  }

  /** Once the subscriber has said what it has. */
  known(): Promise<void> {
    return this.asked ??= this.ask();
  }

  /** Position of the last event that the subscriber has. */
  position(one: Source): number {
    return this.positions.get(one) ?? 0;
  }

  of(sources: readonly Source[]): Partial<Record<Source, number>> {
    return Object.fromEntries(sources.map((one) => [one, this.position(one)]));
  }

  reached(one: Source, position: number): void {
    this.positions.set(one, position);
  }

  /** `since` is `null` at the end of the partition. */
  isBehind(one: Source, since: string | null): void {
    if (since === null) this.behind.delete(one);
    else this.behind.set(one, since);
  }

  /** It waits for what it lacks, and is no less behind than it was. */
  waits(one: Source, since: string): void {
    this.behind.set(one, this.behind.get(one) ?? since);
  }

  /** Since when it is behind in any partition; `waiting`: `recordedAt` of events that are still to be delivered. */
  behindSince(waiting: readonly string[]): string | null {
    return [...this.behind.values(), ...waiting].sort()[0] ?? null;
  }

  private async ask(): Promise<void> {
    const progress = await this.subscription.reached();
    const known = new Map(Object.entries(progress) as [Source, number][]);
    for (const [one, position] of this.positions) known.set(one, Math.max(position, known.get(one) ?? 0));
    this.positions = known;
  }
}
