import type { Consumer, Kafka } from 'kafkajs';
import { pause } from '../../../application/concurrency/pause.js';
import type { EventCodec } from '../../../application/log/codec.js';
import { source } from '../../../application/log/partition.js';
import type { EventFeed, Subscription } from '../../../application/ports/event-feed.js';
import type { EventStores } from '../../../application/ports/event-store.js';
import type { Logger } from '../../../application/ports/logger.js';
import type { Context } from '../../../domain/events.js';
import { leave } from '../server/kafka-client.js';
import { isStarting } from '../server/kafka-fault.js';
import { ensureTopic, eventsTopic } from '../server/kafka-topics.js';
import { BatchDelivery, heartbeatMs } from './batch-delivery.js';
import { ChainFollower } from './chain-follower.js';
import { FeedProgress } from './feed-progress.js';
import { fetchWaitMs, HeldPartitions, stuckAfterMs } from './held-partitions.js';
import { LogEpochs } from './log-epochs.js';
import { PartitionReader } from './partition-reader.js';
import { findStuck } from './stuck-partitions.js';

interface Dependencies {
  kafka: Kafka;
  codec: EventCodec;
  /** The logs at hand: what is missing in a topic is read from them. */
  stores: Partial<EventStores>;
  logger: Logger;
  topicPrefix: string;
  partitions: number;
}

const sessionMs = 10_000;
/** How much of one partition a fetch brings: what is decoded and not yet delivered is in memory. */
const fetchBytes = 256 * 1_024;
const watchEveryMs = 10_000;
const beginAgainMs = 500;
/** It waits for a fetch, and says goodbye to its group. */
const leaveMs = 5_000;

/** Feeds from the topics: one consumer group a subscriber, whose members share the partitions. */
export class KafkaFeed implements EventFeed {
  readonly shared = true;
  /** By context, the newest epoch that was met in a topic whose log is not at hand. */
  private readonly newest: Record<string, string> = {};

  constructor(private readonly dependencies: Dependencies) {}

  async run(subscription: Subscription, stop: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      try {
        await new Member(subscription, this.dependencies, new LogEpochs(this.newest), stop).untilStopped();
        return;
      } catch (error) {
        if (!isStarting(error)) throw error;
        await pause(beginAgainMs, stop);
      }
    }
  }
}

/** A member of one subscriber's group, from when it joins until it leaves. */
class Member {
  private readonly topics: ReadonlyMap<string, Context>;
  private readonly groupId: string;
  private readonly consumer: Consumer;
  private readonly held = new HeldPartitions();
  private readonly progress: FeedProgress;
  private readonly delivery: BatchDelivery;
  private readonly follower: ChainFollower;
  private readonly reader: PartitionReader;
  private over = false;
  private end: (error?: unknown) => void = () => undefined;
  private readonly ended = () => this.over;
  private readonly fail = (error: unknown) => { this.end(error); };

  constructor(
    private readonly subscription: Subscription, private readonly dependencies: Dependencies, private readonly epochs: LogEpochs,
    private readonly stop: AbortSignal,
  ) {
    const { kafka, codec, stores, logger, topicPrefix, partitions } = dependencies;
    const { held, ended, fail } = this;
    const topics = this.topics = new Map(subscription.contexts.map((context) => [eventsTopic(topicPrefix, context), context]));
    this.groupId = `${topicPrefix}${subscription.group}`;
    const consumer = this.consumer = kafka.consumer({
      groupId: this.groupId, sessionTimeout: sessionMs, rebalanceTimeout: sessionMs, heartbeatInterval: 1_000,
      maxWaitTimeInMs: fetchWaitMs, maxBytesPerPartition: fetchBytes, allowAutoTopicCreation: false,
      // Whoever supervises us starts anew, with what the subscriber has by then.
      retry: { initialRetryTime: 100, maxRetryTime: 1_000, retries: 5, restartOnFailure: () => Promise.resolve(false) },
    });
    const progress = this.progress = new FeedProgress(subscription);
    const delivery = this.delivery = new BatchDelivery({ subscription, progress, held, epochs, stop, ended, fail });
    const follower = this.follower = new ChainFollower({ group: subscription.group, stores, partitions, logger, progress, delivery, ended });
    const seek: Consumer['seek'] = (place) => { consumer.seek(place); };
    this.reader = new PartitionReader({ topics, codec, epochs, progress, held, follower, seek, ended, fail });
  }

  async untilStopped(): Promise<void> {
    const finished = new Promise<void>((resolve, reject) => {
      this.end = (error) => {
        this.over = true;
        if (error === undefined) resolve();
        else reject(error);
      };
    });
    finished.catch(() => undefined);
    const onStop = () => { this.end(); };
    this.stop.addEventListener('abort', onStop, { once: true });
    this.listen();
    const beat = setInterval(() => { this.beat(); }, heartbeatMs / 4);
    const watch = setInterval(() => { this.watch(); }, watchEveryMs);
    try {
      // Who is stopped does not wait for a broker that does not answer.
      await Promise.race([this.begin(), finished]);
      await finished;
    } finally {
      this.over = true;
      clearInterval(beat);
      clearInterval(watch);
      this.stop.removeEventListener('abort', onStop);
      await this.delivery.close();
      await leave(this.consumer, leaveMs);
    }
  }

  private listen(): void {
    const { consumer } = this;
    consumer.on(consumer.events.CRASH, ({ payload: { error } }) => { this.fail(error); });
    consumer.on(consumer.events.FETCH, ({ payload: { nodeId } }) => { this.held.fetched(nodeId); });
    consumer.on(consumer.events.GROUP_JOIN, ({ payload: { memberAssignment } }) => {
      this.held.begin([...this.topics].flatMap(([topic, context]) => (memberAssignment[topic] ?? []).map((partition) => source(context, partition))));
      this.progress.begin();
      this.follower.begin();
    });
  }

  private async begin(): Promise<void> {
    const { consumer, topics, dependencies: { kafka, partitions, stores } } = this;
    for (const topic of topics.keys()) await ensureTopic(kafka, topic, partitions);
    await this.epochs.learn(this.subscription, stores);
    if (this.ended()) return;
    try {
      await consumer.connect();
      if (this.ended()) return;
      await consumer.subscribe({ topics: [...topics.keys()], fromBeginning: true });
      if (this.ended()) return;
      await consumer.run({
        autoCommit: false, eachBatchAutoResolve: false, partitionsConsumedConcurrently: topics.size * partitions,
        eachBatch: (payload) => this.reader.read(payload),
      });
    } finally {
      // It was left while it was still on its way in.
      if (this.ended()) await leave(consumer, leaveMs);
    }
  }

  /** Nothing has come for a while, although the broker was asked: that is news as well. */
  private beat(): void {
    if (this.held.areFetched()) void this.delivery.deliverNothingNew();
  }

  private watch(): void {
    if (this.ended() || this.delivery.busy) return;
    const { dependencies: { kafka }, subscription: { group }, groupId, topics, held } = this;
    findStuck(kafka, { groupId, topics, held }, (topic, partition) => {
      this.fail(new Error(`the consumer of ${group} has not moved in ${topic}/${partition} for ${stuckAfterMs / 1_000} s, although there is more to read`));
    }).catch(() => undefined);
  }
}
