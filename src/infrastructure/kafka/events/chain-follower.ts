import type { ChainedEvent } from '../../../application/log/message.js';
import { sourceOf } from '../../../application/log/partition.js';
import type { FeedEvent, Source } from '../../../application/ports/event-feed.js';
import type { EventStore, EventStores } from '../../../application/ports/event-store.js';
import type { Logger } from '../../../application/ports/logger.js';
import type { Context } from '../../../domain/events.js';
import { batchSize, type BatchDelivery } from './batch-delivery.js';
import type { FeedProgress } from './feed-progress.js';
import { PartitionChain, type Hole } from './partition-chain.js';

interface Dependencies {
  group: string;
  /** The logs at hand: what is missing in a topic is read from them. */
  stores: Partial<EventStores>;
  partitions: number;
  logger: Logger;
  progress: FeedProgress;
  delivery: Pick<BatchDelivery, 'deliver'>;
  ended: () => boolean;
}

/** A message that was read, at its offset. */
export type ArrivedMessage = ChainedEvent & { offset: string };

/** Where a partition is read on: what is missing cannot be had now (`later`), or is had faster from the beginning of the topic. */
export type Onward = 'behind these' | 'from the beginning' | 'later';

/** What is gathered of one partition, to be delivered. */
interface Gathered {
  source: Source;
  events: FeedEvent[];
  /** Position of the last event that the subscriber has, once these are delivered. */
  have: number;
  heartbeat: () => Promise<void>;
}

const pageSize = 1_000;

/** Follows the chain of each partition: delivers what the subscriber does not have of its messages, and between them what the topic lacks. */
export class ChainFollower {
  private readonly chains = new Map<Source, PartitionChain>();

  constructor(private readonly dependencies: Dependencies) {}

  /** The partitions were given out anew. */
  begin(): void {
    for (const chain of this.chains.values()) chain.begin();
  }

  holeIn(one: Source): Hole | undefined {
    return this.chains.get(one)?.hole;
  }

  /** `more`: these are not the last ones of the partition. */
  async handOver(from: Source, arrived: readonly ArrivedMessage[], more: boolean, heartbeat: () => Promise<void>): Promise<Onward> {
    const { group, logger, progress } = this.dependencies;
    const chain = this.chainOf(from);
    const gathered: Gathered = { source: from, events: [], have: progress.position(from), heartbeat };
    for (const { prev, source, event, offset } of arrived) {
      const { hole } = chain;
      const step = chain.next({ prev, event }, offset, gathered.have);
      if (step === 'drop') continue;
      if (step === 'rewind') {
        await this.stopBefore(event.recordedAt, gathered);
        return 'from the beginning';
      }
      const facts = { group, source: from, after: gathered.have, upTo: prev };
      if (step === 'read on') {
        if (hole === undefined) logger.error(facts, 'events are missing in the topic, and their log is not at hand: this partition stops until they are there');
        continue;
      }
      if (hole !== undefined) logger.info({ ...facts, upTo: event.position }, 'what was missing in the topic has come: this partition goes on');
      if (step === 'read the log') {
        logger.warn(facts, 'events are missing in the topic: they are read from the log');
        if (await this.readLog(event.context, prev, gathered) === 'ended') return 'later';
        if (gathered.have < prev) {
          logger.error({ ...facts, after: gathered.have }, 'events are missing in the topic, and in the log: this partition stops until they are there');
          await this.stopBefore(event.recordedAt, gathered);
          return 'later';
        }
      }
      gathered.events.push({ source, event });
      gathered.have = event.position;
    }
    const behindSince = more ? newest(gathered) ?? arrived.at(-1)?.event.recordedAt ?? null : null;
    await this.deliver(gathered, chain.hole?.since ?? behindSince);
    return 'behind these';
  }

  private chainOf(one: Source): PartitionChain {
    const context = one.slice(0, one.indexOf('/')) as Context;
    const chain = this.chains.get(one) ?? new PartitionChain(this.dependencies.stores[context] !== undefined);
    this.chains.set(one, chain);
    return chain;
  }

  /** Gathers what the log has of the partition up to this position, the event there included. */
  private async readLog(context: Context, upTo: number, gathered: Gathered): Promise<'read' | 'ended'> {
    const { stores, partitions, ended } = this.dependencies;
    const store = stores[context];
    if (store === undefined) return 'read';
    for await (const page of missing(store, gathered.source, gathered.have, upTo, partitions)) {
      for (const event of page) {
        gathered.events.push({ source: gathered.source, event });
        gathered.have = event.position;
      }
      // A long hole is longer than a session.
      await gathered.heartbeat();
      if (gathered.events.length >= batchSize) await this.deliver(gathered, newest(gathered));
      if (ended()) return 'ended';
    }
    return 'read';
  }

  /** The event of that time cannot be delivered yet. What lies before the gap does not wait for it. */
  private async stopBefore(recordedAt: string, gathered: Gathered): Promise<void> {
    if (gathered.events.length > 0) await this.deliver(gathered, newest(gathered));
    else this.dependencies.progress.waits(gathered.source, recordedAt);
  }

  private async deliver(gathered: Gathered, behindSince: string | null): Promise<void> {
    const { source, events, have, heartbeat } = gathered;
    await this.dependencies.delivery.deliver({ source, events, reached: have, behindSince }, heartbeat);
    gathered.events = [];
  }
}

function newest({ events }: Gathered): string | null {
  return events.at(-1)?.event.recordedAt ?? null;
}

/** What the log has of a partition between two positions, the second one included. */
async function* missing(store: EventStore, from: Source, after: number, upTo: number, partitions: number) {
  for (let next = after; next < upTo;) {
    const page = await store.readLog({ after: next, limit: pageSize });
    yield page.events.filter((event) => event.position <= upTo && sourceOf(event, partitions) === from);
    if (page.next === next) return;
    next = page.next;
  }
}
