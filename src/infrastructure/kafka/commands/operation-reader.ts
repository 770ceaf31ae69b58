import { randomUUID } from 'node:crypto';
import type { Admin, Consumer, EachBatchPayload, Kafka } from 'kafkajs';
import { onAbort } from '../../../application/concurrency/abort.js';
import type { Logger } from '../../../application/ports/logger.js';
import { pause } from '../../../application/concurrency/pause.js';
import { within } from '../../../application/concurrency/within.js';
import { leave } from '../server/kafka-client.js';

interface Dependencies {
  kafka: Kafka;
  topic: string;
  logger: Logger;
  /** Makes the topic where it is missing. */
  prepare: () => Promise<void>;
  /** Called with each record once, in order, and with the broker's time in milliseconds. */
  apply: (value: string, at: number, offset: bigint) => void;
  /** Called after some records. */
  news: () => void;
  /** Called when the records so far are void: the topic does not go on from them. */
  startOver: () => void;
}

const retryMs = 100;
const longestRetryMs = 2_000;
const fetchWaitMs = 100;
/** A consumer that has not fetched for so long hangs. */
const silentMs = 15_000;
const closeMs = 3_000;

/** Reads a topic of one partition from its beginning until it is stopped. Every process reads everything. */
export class OperationReader {
  /** Offset of the next record. */
  next = 0n;
  private interrupt: (error: Error) => void = () => undefined;

  constructor(private readonly dependencies: Dependencies, private readonly stop: AbortSignal) {}

  async run(): Promise<void> {
    const { logger, topic } = this.dependencies;
    let pauseMs = retryMs;
    while (!this.stop.aborted) {
      const began = performance.now();
      try {
        await this.read();
      } catch (error) {
        logger.warn({ err: error, topic }, 'the command queue could not be read, and is read again');
      }
      if (performance.now() - began > silentMs) pauseMs = retryMs;
      await pause(pauseMs, this.stop);
      pauseMs = Math.min(pauseMs * 2, longestRetryMs);
    }
  }

  /** To be called when the topic was made anew, or has lost its last records. */
  startOver(): void {
    this.next = 0n;
    this.dependencies.startOver();
    this.interrupt(new Error('the topic does not hold any more what was read from it'));
  }

  private async read(): Promise<void> {
    const { kafka, topic, prepare } = this.dependencies;
    await prepare();
    await this.findPlace();
    const groupId = `${topic}-${randomUUID()}`;
    const consumer = kafka.consumer({
      groupId,
      maxWaitTimeInMs: fetchWaitMs,
      sessionTimeout: 10_000,
      allowAutoTopicCreation: false,
      retry: { retries: 2, restartOnFailure: () => Promise.resolve(false) },
    });
    let over = false;
    let lastFetch = performance.now();
    let release: () => void = () => undefined;
    const ended = new Promise<void>((resolve, reject) => {
      this.interrupt = reject;
      consumer.on(consumer.events.CRASH, ({ payload: { error } }) => { reject(error); });
      release = onAbort(this.stop, resolve);
    });
    ended.catch(() => undefined);
    consumer.on(consumer.events.FETCH, () => { lastFetch = performance.now(); });
    // The group keeps no offset: the consumer would begin at the beginning each time it joins.
    consumer.on(consumer.events.GROUP_JOIN, () => { consumer.seek({ topic, partition: 0, offset: String(this.next) }); });
    const watch = setInterval(() => {
      if (performance.now() - lastFetch > silentMs) this.interrupt(new Error(`nothing was asked for within ${silentMs} ms`));
    }, silentMs / 5);
    try {
      await Promise.race([ended, this.begin(consumer, (payload) => (over ? Promise.resolve() : this.onBatch(payload)))]);
      await ended;
    } finally {
      over = true;
      release();
      clearInterval(watch);
      await leave(consumer);
      await within(closeMs, () => new Error('it hangs'), this.forget(groupId)).catch(() => undefined);
    }
  }

  private async begin(consumer: Consumer, eachBatch: (payload: EachBatchPayload) => Promise<void>): Promise<void> {
    await consumer.connect();
    await consumer.subscribe({ topics: [this.dependencies.topic], fromBeginning: true });
    await consumer.run({ autoCommit: false, eachBatchAutoResolve: false, eachBatch });
  }

  private async onBatch({ batch, resolveOffset, heartbeat }: EachBatchPayload): Promise<void> {
    for (const { offset, value, timestamp } of batch.messages) {
      const at = BigInt(offset);
      if (at > this.next) throw new Error(`the topic goes on at ${offset}, and ${this.next} was to be read`);
      if (at === this.next) {
        this.dependencies.apply(value?.toString() ?? '', Number(timestamp), at);
        this.next++;
      }
      resolveOffset(offset);
    }
    this.dependencies.news();
    await heartbeat();
  }

  /** The next record may have been deleted, once nobody needed it any more. */
  private async findPlace(): Promise<void> {
    const [{ low, high } = { low: '0', high: '0' }] = await this.asAdmin((admin) => admin.fetchTopicOffsets(this.dependencies.topic));
    if (this.next >= BigInt(low) && this.next <= BigInt(high)) return;
    if (this.next > 0n) this.dependencies.startOver();
    this.next = BigInt(low);
  }

  private async forget(groupId: string): Promise<void> {
    // No retries: the broker deletes an empty group by itself after a week.
    await this.asAdmin((admin) => admin.deleteGroups([groupId]), 0);
  }

  private async asAdmin<T>(work: (admin: Admin) => Promise<T>, retries = 2): Promise<T> {
    const admin = this.dependencies.kafka.admin({ retry: { retries } });
    try {
      await admin.connect();
      return await work(admin);
    } finally {
      void admin.disconnect().catch(() => undefined);
    }
  }
}
