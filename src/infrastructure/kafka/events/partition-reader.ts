import type { Consumer, EachBatchPayload, KafkaMessage, OffsetsByTopicPartition } from 'kafkajs';
import type { EventCodec } from '../../../application/log/codec.js';
import { decodeMessage, type ChainedEvent } from '../../../application/log/message.js';
import { source } from '../../../application/log/partition.js';
import type { Source } from '../../../application/ports/event-feed.js';
import type { Context } from '../../../domain/events.js';
import { batchSize } from './batch-delivery.js';
import type { ArrivedMessage, ChainFollower } from './chain-follower.js';
import type { FeedProgress } from './feed-progress.js';
import type { HeldPartitions } from './held-partitions.js';
import type { LogEpochs } from './log-epochs.js';
import { offsetToCommit } from './partition-chain.js';

interface Dependencies {
  topics: ReadonlyMap<string, Context>;
  codec: EventCodec;
  epochs: LogEpochs;
  progress: FeedProgress;
  held: HeldPartitions;
  follower: ChainFollower;
  seek: Consumer['seek'];
  ended: () => boolean;
  fail: (error: unknown) => void;
}

const askAgainMs = 10_000;
const commitEveryMs = 2_000;

/** Reads what the consumer has fetched of each partition, says where that partition goes on, and commits how far it was read. */
export class PartitionReader {
  private lastCommit = performance.now();

  constructor(private readonly dependencies: Dependencies) {}

  /** Called for several partitions at a time; their events are gathered into one batch. */
  async read(payload: EachBatchPayload): Promise<void> {
    const { topics, progress, held, follower, seek, ended } = this.dependencies;
    const { batch: { topic, partition, highWatermark, messages }, resolveOffset, heartbeat, isRunning, isStale } = payload;
    const context = topics.get(topic);
    if (context === undefined || ended()) return;
    const from = source(context, partition);
    await progress.known();
    const last = messages.at(-1);
    for (let begin = 0; begin < messages.length; begin += batchSize) {
      if (!isRunning() || isStale() || ended()) return;
      const part = messages.slice(begin, begin + batchSize);
      const end = part.at(-1);
      if (end === undefined) return;
      const arrived = this.decode(part, from, `${topic}/${partition}`);
      const more = end !== last || BigInt(highWatermark) > BigInt(end.offset) + 1n;
      const onward = await follower.handOver(from, arrived, more, heartbeat);
      if (ended()) return;
      if (onward === 'from the beginning') {
        seek({ topic, partition, offset: '0' });
        return;
      }
      if (onward === 'later') {
        const resume = payload.pause();
        setTimeout(resume, askAgainMs).unref();
        held.waits(from);
        return;
      }
      resolveOffset(end.offset);
      held.moved(from, BigInt(end.offset) + 1n);
      await heartbeat();
    }
    await this.commit(payload);
  }

  /** Without the events of older epochs. */
  private decode(messages: readonly KafkaMessage[], from: Source, partition: string): ArrivedMessage[] {
    try {
      return messages.flatMap(({ value, offset }) => {
        const place = `${partition} at offset ${offset}`;
        const event = this.decodeOne(value, from, place);
        return this.dependencies.epochs.includes(event, place) ? [{ ...event, offset }] : [];
      });
    } catch (error) {
      this.dependencies.fail(error);
      throw error;
    }
  }

  private decodeOne(value: Buffer | null, from: Source, place: string): ChainedEvent {
    try {
      const event = decodeMessage(value?.toString() ?? '', this.dependencies.codec);
      if (event.source !== from) throw new Error(`it is an event of ${event.source}`);
      return event;
    } catch (error) {
      throw new Error(`${place} holds a message that cannot be read`, { cause: error });
    }
  }

  /** The subscriber's own progress is what counts: an offset that was not committed costs a second look, no second effect. */
  private async commit({ uncommittedOffsets, commitOffsetsIfNecessary }: EachBatchPayload): Promise<void> {
    if (performance.now() - this.lastCommit < commitEveryMs) return;
    this.lastCommit = performance.now();
    await commitOffsetsIfNecessary(this.toCommit(uncommittedOffsets()));
  }

  private toCommit({ topics }: OffsetsByTopicPartition): OffsetsByTopicPartition {
    return {
      topics: topics.map(({ topic, partitions }) => ({
        topic,
        partitions: partitions.map(({ partition, offset }) => {
          const context = this.dependencies.topics.get(topic);
          const hole = context && this.dependencies.follower.holeIn(source(context, partition));
          return { partition, offset: offsetToCommit(offset, hole) };
        }),
      })),
    };
  }
}
