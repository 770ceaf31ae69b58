import type { Consumer, EachBatchPayload, Kafka, OffsetsByTopicPartition } from 'kafkajs';
import { supersedes } from '../../../application/log/epoch.js';
import type { EventCodec } from '../../../application/log/codec.js';
import { decodeMessage, type ChainedEvent } from '../../../application/log/message.js';
import { source, sourceOf } from '../../../application/log/partition.js';
import type { EventFeed, FeedEvent, Source, Subscription } from '../../../application/ports/event-feed.js';
import type { EventStore, EventStores } from '../../../application/ports/event-store.js';
import type { Logger } from '../../../application/ports/logger.js';
import { pause } from '../../../application/concurrency/pause.js';
import type { Context } from '../../../domain/events.js';
import { leave } from '../server/kafka-client.js';
import { isStarting } from '../server/kafka-fault.js';
import { ensureTopic, eventsTopic } from '../server/kafka-topics.js';
import { PartitionChain } from './partition-chain.js';

interface Dependencies {
  kafka: Kafka;
  codec: EventCodec;
  /** The logs at hand: what is missing in a topic is read from them. */
  stores: Partial<EventStores>;
  logger: Logger;
  topicPrefix: string;
  partitions: number;
}

const heartbeatMs = 800;
const sessionMs = 10_000;
const fetchWaitMs = 250;
/** Of one partition in one fetch; what is decoded and not yet delivered is in memory. */
const fetchBytes = 256 * 1_024;
/** From one batch to the next: under load, many small ones cost the subscriber a write each. */
const paceMs = 50;
/** A batch as big as this keeps a subscriber busy for about a second. */
const batchSize = 5_000;
const commitEveryMs = 2_000;
const watchEveryMs = 10_000;
const stuckAfterMs = 30_000;
const askAgainMs = 10_000;
const pageSize = 1_000;
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
        await new Run(subscription, this.dependencies, this.newest, stop).untilStopped();
        return;
      } catch (error) {
        if (!isStarting(error)) throw error;
        await pause(askAgainMs / 20, stop);
      }
    }
  }
}

/** What one partition brought, waiting for the subscriber. */
interface Arrived {
  source: Source;
  events: FeedEvent[];
  /** Position of the last event. */
  reached: number;
  behindSince: string | null;
  delivered: () => void;
}

/** One subscriber at work. */
class Run {
  private readonly topics: ReadonlyMap<string, Context>;
  private readonly waiting: Arrived[] = [];
  private delivering: Promise<void> | undefined;
  /** By source, how far the subscriber is; asked for anew whenever partitions are given out. */
  private have = new Map<Source, number>();
  private asked: Promise<void> | undefined;
  private readonly behind = new Map<Source, string>();
  /** Of the logs that are read: messages of an older one are passed over. */
  private readonly epochs: Record<string, string> = {};
  private lastBatch = -Infinity;
  private lastDelivery = -Infinity;
  private lastFetch = performance.now();
  /** By broker, how often it was asked since the partitions were given out. */
  private readonly fetches = new Map<number, number>();
  private lastCommit = performance.now();
  /** By source: the next offset to be read, as far as it is known, and when it last moved. */
  private readonly reading = new Map<Source, { offset: bigint | undefined; since: number }>();
  private readonly chains = new Map<Source, PartitionChain>();
  private consumer: Consumer | undefined;
  private over = false;
  private end: (error?: unknown) => void = () => undefined;

  constructor(private readonly subscription: Subscription, private readonly dependencies: Dependencies, private readonly newest: Record<string, string>, private readonly stop: AbortSignal) {
    this.topics = new Map(subscription.contexts.map((context) => [eventsTopic(dependencies.topicPrefix, context), context]));
  }

  async untilStopped(): Promise<void> {
    const { kafka, topicPrefix } = this.dependencies;
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
    const consumer = kafka.consumer({
      groupId: `${topicPrefix}${this.subscription.group}`,
      sessionTimeout: sessionMs, rebalanceTimeout: sessionMs, heartbeatInterval: 1_000, maxWaitTimeInMs: fetchWaitMs, maxBytesPerPartition: fetchBytes, allowAutoTopicCreation: false,
      // Whoever supervises us starts anew, with what the subscriber has by then.
      retry: { initialRetryTime: 100, maxRetryTime: 1_000, retries: 5, restartOnFailure: () => Promise.resolve(false) },
    });
    this.consumer = consumer;
    consumer.on(consumer.events.CRASH, ({ payload: { error } }) => { this.end(error); });
    consumer.on(consumer.events.FETCH, ({ payload: { nodeId } }) => {
      this.lastFetch = performance.now();
      this.fetches.set(nodeId, (this.fetches.get(nodeId) ?? 0) + 1);
    });
    consumer.on(consumer.events.GROUP_JOIN, ({ payload: { memberAssignment } }) => {
      this.reading.clear();
      for (const [topic, context] of this.topics) {
        for (const partition of memberAssignment[topic] ?? []) this.reading.set(source(context, partition), { offset: undefined, since: performance.now() });
      }
      this.asked = undefined;
      this.behind.clear();
      for (const chain of this.chains.values()) chain.begin();
      this.fetches.clear();
    });
    const beat = setInterval(() => { void this.beat(); }, heartbeatMs / 4);
    const watch = setInterval(() => { this.watch().catch(() => undefined); }, watchEveryMs);
    try {
      // Who is stopped does not wait for a broker that does not answer.
      await Promise.race([this.begin(consumer), finished]);
      await finished;
    } finally {
      this.over = true;
      clearInterval(beat);
      clearInterval(watch);
      this.stop.removeEventListener('abort', onStop);
      await this.delivering?.catch(() => undefined);
      for (const { delivered } of this.waiting.splice(0)) delivered();
      await leave(consumer, leaveMs);
    }
  }

  private async begin(consumer: Consumer): Promise<void> {
    const { kafka, partitions } = this.dependencies;
    for (const topic of this.topics.keys()) await ensureTopic(kafka, topic, partitions);
    await this.learnEpochs();
    if (this.ended()) return;
    try {
      await consumer.connect();
      if (this.ended()) return;
      await consumer.subscribe({ topics: [...this.topics.keys()], fromBeginning: true });
      if (this.ended()) return;
      await consumer.run({
        autoCommit: false, eachBatchAutoResolve: false, partitionsConsumedConcurrently: this.topics.size * partitions,
        eachBatch: (payload) => this.onPartition(payload),
      });
    } finally {
      // It was left while it was still on its way in.
      if (this.ended()) await leave(consumer, leaveMs);
    }
  }

  /** Called for several partitions at a time; their events are gathered into one batch. */
  private async onPartition({ batch, resolveOffset, heartbeat, pause: pausePartition, isRunning, isStale, uncommittedOffsets, commitOffsetsIfNecessary }: EachBatchPayload): Promise<void> {
    const context = this.topics.get(batch.topic);
    if (context === undefined || this.ended()) return;
    const from = source(context, batch.partition);
    this.asked ??= this.ask();
    await this.asked;
    let { messages } = batch;
    const last = messages.at(-1);
    while (messages.length > 0) {
      if (!isRunning() || isStale() || this.ended()) return;
      const part = messages.slice(0, batchSize);
      messages = messages.slice(batchSize);
      const end = part.at(-1);
      if (end === undefined) return;
      const arrived = part.flatMap(({ value, offset }) => {
        const event = this.decode(value, from, `${batch.topic}/${batch.partition} at offset ${offset}`);
        return event === undefined ? [] : [{ ...event, offset }];
      });
      const more = end !== last || BigInt(batch.highWatermark) > BigInt(end.offset) + 1n;
      const goOn = await this.handOver(from, arrived, more, heartbeat);
      if (this.ended()) return;
      if (goOn === 'from the beginning') {
        this.consumer?.seek({ topic: batch.topic, partition: batch.partition, offset: '0' });
        return;
      }
      if (goOn === 'later') {
        const resume = pausePartition();
        setTimeout(resume, askAgainMs).unref();
        // It waits on purpose: the watchdog is not to end the other partitions for it.
        this.reading.set(from, { offset: this.reading.get(from)?.offset, since: performance.now() });
        return;
      }
      resolveOffset(end.offset);
      this.reading.set(from, { offset: BigInt(end.offset) + 1n, since: performance.now() });
      await heartbeat();
    }
    // The subscriber's own progress is what counts: an offset that was not committed costs a second look, no second effect.
    if (performance.now() - this.lastCommit < commitEveryMs) return;
    this.lastCommit = performance.now();
    await commitOffsetsIfNecessary(this.toCommit(uncommittedOffsets()));
  }

  private chainOf(one: Source): PartitionChain {
    const context = one.slice(0, one.indexOf('/')) as Context;
    const chain = this.chains.get(one) ?? new PartitionChain(this.dependencies.stores[context] !== undefined);
    this.chains.set(one, chain);
    return chain;
  }

  /** A group stays one message behind: by the one that it reads again, whoever goes on sees whether the subscriber still has all that was before it. And it stays before what is missing. */
  private toCommit({ topics }: OffsetsByTopicPartition): OffsetsByTopicPartition {
    return {
      topics: topics.map(({ topic, partitions }) => ({
        topic,
        partitions: partitions.map(({ partition, offset }) => {
          const context = this.topics.get(topic);
          const hole = context && this.chains.get(source(context, partition))?.hole;
          return { partition, offset: String(Math.max(0, Number(hole?.offset ?? offset) - 1)) };
        }),
      })),
    };
  }

  private async ask(): Promise<void> {
    const progress = await this.subscription.reached();
    const known = new Map(Object.entries(progress) as [Source, number][]);
    for (const [one, position] of this.have) known.set(one, Math.max(position, known.get(one) ?? 0));
    this.have = known;
  }

  private async learnEpochs(): Promise<void> {
    const { stores } = this.dependencies;
    for (const context of this.subscription.contexts) {
      const known = [this.newest[context], this.subscription.epochs?.()[context]].filter((one) => one !== undefined);
      const epoch = (await (stores[context] as EventStore | undefined)?.head())?.epoch ?? known.sort((a, b) => (supersedes(a, b) ? -1 : 1))[0];
      if (epoch !== undefined) this.epochs[context] = epoch;
    }
  }

  /** @returns `undefined` for an event of an older epoch */
  private decode(value: Buffer | null, from: Source, place: string): ChainedEvent | undefined {
    let event: ChainedEvent;
    try {
      event = decodeMessage(value?.toString() ?? '', this.dependencies.codec);
      if (event.source !== from) throw new Error(`it is an event of ${event.source}`);
    } catch (error) {
      throw this.failed(new Error(`${place} holds a message that cannot be read`, { cause: error }));
    }
    const { epoch, event: { context } } = event;
    const own = (this.epochs[context] ??= epoch);
    if (own === epoch) return event;
    if (supersedes(own, epoch)) return undefined;
    if (!supersedes(epoch, own)) throw this.failed(new Error(`${place} begins another log of ${context}: give the newer log a topic of its own with KAFKA_TOPIC_PREFIX`));
    this.newest[context] = epoch;
    throw this.failed(new Error(`${place} begins a new epoch of ${context}: its events are read from the beginning`));
  }

  /**
   * Delivers what the subscriber does not have of these, and between them what the topic lacks. `more`: these are not the last ones of the partition.
   * @returns where to go on: what is missing cannot be had now, or is had faster from the beginning of the topic
   */
  private async handOver(from: Source, arrived: readonly (ChainedEvent & { offset: string })[], more: boolean, heartbeat: () => Promise<void>): Promise<'behind these' | 'from the beginning' | 'later'> {
    let events: FeedEvent[] = [];
    let have = this.have.get(from) ?? 0;
    const chain = this.chainOf(from);
    const newest = () => events.at(-1)?.event.recordedAt ?? null;
    const deliver = async (behindSince: string | null) => {
      await this.deliver({ source: from, events, reached: have, behindSince }, heartbeat);
      events = [];
    };
    const notYet = async <T>(goOn: T, since: string): Promise<T> => {
      // What lies before the gap is nobody's to wait for.
      if (events.length > 0) await deliver(newest());
      else this.behind.set(from, this.behind.get(from) ?? since);
      return goOn;
    };
    for (const { prev, source: one, event, offset } of arrived) {
      const { hole } = chain;
      const step = chain.next({ prev, event }, offset, have);
      if (step === 'drop') continue;
      if (step === 'rewind') return await notYet('from the beginning', event.recordedAt);
      const facts = { group: this.subscription.group, source: from, after: have, upTo: prev };
      if (step === 'read on') {
        if (hole === undefined) this.dependencies.logger.error(facts, 'events are missing in the topic, and their log is not at hand: this partition stops until they are there');
        continue;
      }
      if (hole !== undefined) this.dependencies.logger.info({ ...facts, upTo: event.position }, 'what was missing in the topic has come: this partition goes on');
      if (step === 'read the log') {
        const store = this.dependencies.stores[event.context];
        this.dependencies.logger.warn(facts, 'events are missing in the topic: they are read from the log');
        if (store !== undefined) {
          for await (const page of readMissing(store, from, have, prev, this.dependencies.partitions)) {
            for (const found of page) {
              events.push({ source: from, event: found });
              have = found.position;
            }
            // A long hole is longer than a session.
            await heartbeat();
            if (events.length >= batchSize) await deliver(newest());
            if (this.ended()) return 'later';
          }
        }
        if (have < prev) {
          this.dependencies.logger.error({ ...facts, after: have }, 'events are missing in the topic, and in the log: this partition stops until they are there');
          return await notYet('later', event.recordedAt);
        }
      }
      events.push({ source: one, event });
      have = event.position;
    }
    await deliver(chain.hole?.since ?? (more ? newest() ?? arrived.at(-1)?.event.recordedAt ?? null : null));
    return 'behind these';
  }

  private async deliver(arrived: Omit<Arrived, 'delivered'>, heartbeat: () => Promise<void>): Promise<void> {
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

  private async deliverWaiting(): Promise<void> {
    let taken: Arrived[] = [];
    try {
      // The other partitions of the same fetch arrive in the same moment.
      await new Promise((resolve) => setImmediate(resolve));
      while (this.waiting.length > 0 && !this.ended()) {
        await pause(this.lastBatch + paceMs - performance.now(), this.stop);
        this.lastBatch = performance.now();
        taken = this.take();
        const progress = this.progress();
        for (const { source: one, reached, behindSince } of taken) {
          progress[one] = reached;
          if (behindSince === null) this.behind.delete(one);
          else this.behind.set(one, behindSince);
        }
        await this.subscription.onBatch({ events: taken.flatMap(({ events }) => events), progress, behindSince: this.behindSince(), epochs: { ...this.epochs } });
        this.lastDelivery = performance.now();
        for (const { source: one, reached, delivered } of taken) {
          this.have.set(one, reached);
          delivered();
        }
      }
    } catch (error) {
      this.failed(error);
    } finally {
      this.delivering = undefined;
      if (this.ended()) for (const { delivered } of [...taken, ...this.waiting.splice(0)]) delivered();
    }
  }

  /** Of all our partitions: no news of one is news as well. */
  private progress(): Partial<Record<Source, number>> {
    return Object.fromEntries([...this.reading.keys()].map((one) => [one, this.have.get(one) ?? 0]));
  }

  /** As much as makes a batch, and no less than one partition's. */
  private take(): Arrived[] {
    let count = 0;
    const rest = this.waiting.findIndex(({ events }) => (count += events.length) > batchSize);
    return this.waiting.splice(0, rest < 0 ? this.waiting.length : Math.max(rest, 1));
  }

  private behindSince(): string | null {
    const waiting = this.waiting.flatMap(({ events }) => events[0]?.event.recordedAt ?? []);
    return [...this.behind.values(), ...waiting].sort()[0] ?? null;
  }

  /** Nothing has come for a while, although the broker was asked: that is news as well. */
  private async beat(): Promise<void> {
    const now = performance.now();
    if (this.ended() || this.delivering !== undefined || this.reading.size === 0 || now - this.lastDelivery < heartbeatMs || now - this.lastFetch > 4 * fetchWaitMs) return;
    // What a first fetch brings is handed over before the second one: until then nobody knows whether anything is new.
    if (this.fetches.size === 0 || Math.min(...this.fetches.values()) < 2) return;
    this.delivering = (async () => {
      try {
        await this.subscription.onBatch({ events: [], progress: this.progress(), behindSince: this.behindSince(), epochs: { ...this.epochs } });
        this.lastDelivery = performance.now();
      } catch (error) {
        this.failed(error);
      } finally {
        this.delivering = undefined;
      }
    })();
    await this.delivering;
    if (this.waiting.length > 0) this.delivering ??= this.deliverWaiting();
  }

  /** A consumer that neither crashes nor goes on would be waited for in vain: it is measured by what there is to read. */
  private async watch(): Promise<void> {
    const still = [...this.reading].filter(([, { since }]) => performance.now() - since > stuckAfterMs);
    if (this.ended() || this.delivering !== undefined || still.length === 0) return;
    const admin = this.dependencies.kafka.admin();
    try {
      await admin.connect();
      const committed = await admin.fetchOffsets({ groupId: `${this.dependencies.topicPrefix}${this.subscription.group}`, topics: [...this.topics.keys()] });
      for (const [topic, context] of this.topics) {
        const ends = await admin.fetchTopicOffsets(topic);
        for (const { partition, high } of ends) {
          const at = this.reading.get(source(context, partition));
          if (at === undefined || !still.some(([one]) => one === source(context, partition))) continue;
          const offset = committed.find((one) => one.topic === topic)?.partitions.find((one) => one.partition === partition)?.offset ?? '0';
          if (BigInt(high) > (at.offset ?? BigInt(Math.max(0, Number(offset)))) && performance.now() - at.since > stuckAfterMs) {
            this.failed(new Error(`the consumer of ${this.subscription.group} has not moved in ${topic}/${partition} for ${stuckAfterMs / 1_000} s, although there is more to read`));
          }
        }
      }
    } finally {
      await leave(admin);
    }
  }

  private ended(): boolean {
    return this.over;
  }

  private failed(error: unknown): unknown {
    this.end(error);
    return error;
  }
}

/** What the log has of a partition between two positions, the second one included. */
async function* readMissing(store: EventStore, from: Source, after: number, upTo: number, partitions: number) {
  for (let next = after; next < upTo;) {
    const page = await store.readLog({ after: next, limit: pageSize });
    yield page.events.filter((event) => event.position <= upTo && sourceOf(event, partitions) === from);
    if (page.next === next) return;
    next = page.next;
  }
}
