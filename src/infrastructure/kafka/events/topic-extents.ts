import type { Kafka } from 'kafkajs';
import type { Context } from '../../../domain/events.js';
import { source } from '../../../application/log/partition.js';
import type { Source } from '../../../application/ports/event-feed.js';
import type { TopicEnd } from '../../../application/ports/published-topic.js';
import { within } from '../../../application/concurrency/within.js';
import { lastMessages, type Extent } from './last-messages.js';

/** The broker's answer to a send, for one partition. */
export interface Sent { partition: number; baseOffset?: string; count: number; last: TopicEnd }

const askMs = 10_000;
const askTries = 20;
const askAgainMs = 100;
const leaderless: ReadonlySet<string> = new Set(['NOT_LEADER_FOR_PARTITION', 'LEADER_NOT_AVAILABLE', 'UNKNOWN_TOPIC_OR_PARTITION']);

/** Where each partition of a topic ends, and with which message, as last seen: a loss is noticed when an offset goes back. */
export class TopicExtents {
  /** By partition: the offset of the next message, and the end that the last message states. */
  private readonly seen = new Map<number, { next: bigint; last: TopicEnd | undefined }>();
  /** Partitions that went on after a loss, until the lost messages have been sent again: the offset at which they went on. */
  private readonly holes = new Map<number, bigint>();

  constructor(private readonly kafka: Kafka, private readonly topic: string, private readonly context: Context) {}

  async ends(): Promise<ReadonlyMap<Source, TopicEnd>> {
    const extents = await this.extents();
    const unknown = new Map<number, Extent>();
    for (const [partition, { low, end }] of extents) {
      const known = this.seen.get(partition);
      const hole = this.holes.get(partition);
      if (hole === undefined && known?.next === end && (known.last !== undefined || end <= low)) continue;
      unknown.set(partition, { low, end: hole !== undefined && hole < end ? hole : end });
    }
    const read = await lastMessages(this.kafka, this.topic, unknown);
    const ends = new Map<Source, TopicEnd>();
    for (const [partition, { end }] of extents) {
      const last = unknown.has(partition) ? read.get(partition) : this.seen.get(partition)?.last;
      this.seen.set(partition, { next: end, last });
      if (last !== undefined) ends.set(source(this.context, partition), last);
    }
    return ends;
  }

  async unchanged(): Promise<boolean> {
    const extents = await this.extents();
    return this.holes.size === 0 && [...extents].every(([partition, { end }]) => (this.seen.get(partition)?.next ?? 0n) === end);
  }

  /** @throws Error when a partition has lost what was seen in it */
  sent(sends: readonly Sent[]): void {
    const lost: string[] = [];
    for (const { partition, baseOffset, count, last } of sends) {
      if (baseOffset === undefined) continue;
      const base = BigInt(baseOffset);
      const before = this.seen.get(partition)?.next ?? 0n;
      if (base < before) {
        this.holes.set(partition, base);
        lost.push(`partition ${partition} goes on at offset ${base} instead of ${before}`);
      } else this.holes.delete(partition);
      this.seen.set(partition, { next: base + BigInt(count), last });
    }
    if (lost.length > 0) throw new Error(`${this.topic} has lost messages: ${lost.join(', ')}`);
  }

  private async extents(): Promise<Map<number, Extent>> {
    const admin = this.kafka.admin();
    try {
      return await within(askMs, () => new Error(`Kafka has not said within ${askMs} ms where ${this.topic} ends`), (async () => {
        await admin.connect();
        for (let tries = 1; ; tries++) {
          try {
            const offsets = await admin.fetchTopicOffsets(this.topic);
            return new Map(offsets.map(({ partition, low, high }) => [partition, { low: BigInt(low), end: BigInt(high) }]));
          } catch (error) {
            // The partitions of a topic that has just been made have no leader yet.
            if (tries === askTries || !leaderless.has((error as { type?: string }).type ?? '')) throw error;
            await new Promise((resolve) => setTimeout(resolve, askAgainMs));
          }
        }
      })());
    } finally {
      // Not awaited: a connection that hangs must not delay the relay.
      void admin.disconnect().catch(() => undefined);
    }
  }
}
