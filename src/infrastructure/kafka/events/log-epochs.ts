import { supersedes } from '../../../application/log/epoch.js';
import type { ChainedEvent } from '../../../application/log/message.js';
import type { Subscription } from '../../../application/ports/event-feed.js';
import type { EventStore, EventStores } from '../../../application/ports/event-store.js';

/** Which log of each context is read, where a topic holds messages of several: those of an older one are passed over. */
export class LogEpochs {
  private readonly read: Record<string, string> = {};

  /** `newest`: by context, the newest epoch that was met in a topic whose log is not at hand. It is kept for whoever begins again. */
  constructor(private readonly newest: Record<string, string>) {}

  get known(): Readonly<Record<string, string>> {
    return { ...this.read };
  }

  async learn(subscription: Pick<Subscription, 'contexts' | 'epochs'>, stores: Partial<EventStores>): Promise<void> {
    for (const context of subscription.contexts) {
      const known = [this.newest[context], subscription.epochs?.()[context]].filter((one) => one !== undefined);
      const head = await (stores[context] as EventStore | undefined)?.head();
      const epoch = head?.epoch ?? known.sort((a, b) => (supersedes(a, b) ? -1 : 1))[0];
      if (epoch !== undefined) this.read[context] = epoch;
    }
  }

  /**
   * @returns whether the event is of the log that is read; otherwise of an older one
   * @throws Error when it is of a newer log, or of an unrelated one
   */
  includes({ epoch, event: { context } }: ChainedEvent, place: string): boolean {
    const own = (this.read[context] ??= epoch);
    if (own === epoch) return true;
    if (supersedes(own, epoch)) return false;
    if (!supersedes(epoch, own)) {
      throw new Error(`${place} begins another log of ${context}: give the newer log a topic of its own with KAFKA_TOPIC_PREFIX`);
    }
    this.newest[context] = epoch;
    throw new Error(`${place} begins a new epoch of ${context}: its events are read from the beginning`);
  }
}
