import { Partitioners, type Kafka } from 'kafkajs';
import { eventCodec, upcasters } from '../../src/application/log/codec.js';
import type { EventPublisher, Message } from '../../src/application/ports/event-publisher.js';
import { relayCheckpoint, runRelay } from '../../src/application/log/relay.js';
import { pause } from '../../src/application/concurrency/pause.js';
import type { Context } from '../../src/domain/events.js';
import { KafkaEventPublisher } from '../../src/infrastructure/kafka/events/kafka-event-publisher.js';
import { ensureTopic, eventsTopic } from '../../src/infrastructure/kafka/server/kafka-topics.js';
import { MemoryCheckpointStore } from '../../src/infrastructure/memory/memory-checkpoint-store.js';
import { MemoryEventStore } from '../../src/infrastructure/memory/memory-event-store.js';
import { MemoryLogSignal } from '../../src/infrastructure/memory/memory-log-signal.js';
import { checkTopic } from '../support/chain.js';
import { newEvent, partitions } from '../support/events.js';
import { forgetTopics } from '../support/infra.js';
import { isProduce, proxiedKafka, readTopic } from '../support/kafka.js';
import { fail } from './support.js';

// The relay publishes a growing log through a proxy that forwards each third produce request and drops its answer: the broker has the events, and
// nobody knows. In the end the topic is compared with the log. Half of the answers are lost on a client that asks again by itself, the other half on
// one that gives up at once, so that the relay starts anew from its checkpoint with another producer.

export type TrialPublisher = EventPublisher & { close(): Promise<void> };
type MakePublisher = (kafka: Kafka, options: { topicPrefix: string; partitions: number }) => TrialPublisher;

const every = 3;
const customers = 30;
const deadlineMs = 300_000;
const codec = eventCodec(upcasters);

/** @returns what was seen; throws when an event is lost or out of order */
export async function lostAnswers(
  broker: string, { times = 200, topicPrefix = `trial-${process.pid}.`, publisher: make = (kafka, options) => new KafkaEventPublisher(kafka, options) }: { times?: number; topicPrefix?: string; publisher?: MakePublisher } = {},
): Promise<string> {
  const signal = new MemoryLogSignal();
  const store = new MemoryEventStore('orders', codec, signal);
  const checkpoints = new MemoryCheckpointStore();
  const { kafka: direct, proxy: honest } = await proxiedKafka(broker);
  const half = Math.ceil(times / 2);
  let starts = 0;
  let dropped = 0;
  try {
    // Whoever makes the topic is not on trial.
    await ensureTopic(direct, eventsTopic(topicPrefix, 'orders'), partitions);
    for (const retries of [5, 0]) {
      const { kafka, proxy } = await proxiedKafka(broker, { retry: { initialRetryTime: 20, maxRetryTime: 200, retries } });
      const publisher = make(kafka, { topicPrefix, partitions });
      const stop = new AbortController();
      const trial = (async () => {
        const lost = new AbortController();
        const appending = appendUntil(store, lost.signal);
        proxy.dropAnswers(isProduce, every, half);
        await until(() => proxy.dropped === half, stop.signal);
        lost.abort();
        await appending;
        const { position } = await store.head();
        await until(async () => Math.max(0, ...Object.values(await checkpoints.load(relayCheckpoint)) as number[]) === position, stop.signal);
      })().finally(() => { stop.abort(); });
      trial.catch(() => undefined);
      try {
        while (!stop.signal.aborted) {
          starts++;
          await runRelay('orders', { store, checkpoints, signal, publisher, codec, partitions }, stop.signal).catch(() => pause(20, stop.signal));
        }
        await trial;
        dropped += proxy.dropped;
      } finally {
        stop.abort();
        await publisher.close().catch(() => undefined);
        await proxy.close();
      }
    }
    const log = (await store.readLog({ after: 0, limit: Infinity })).events;
    const repeated = checkTopic(await readTopic(direct, eventsTopic(topicPrefix, 'orders')), log, partitions);
    return `${dropped} answers of Kafka lost, the relay started ${starts} times: ${log.length} events published, none lost, ${repeated} repeated, in order in each of ${partitions} partitions`;
  } finally {
    await forgetTopics(direct, topicPrefix);
    await honest.close();
  }
}

async function until(happened: () => boolean | Promise<boolean>, stop: AbortSignal): Promise<void> {
  const deadline = performance.now() + deadlineMs;
  while (!stop.aborted && !await happened()) {
    if (performance.now() > deadline) fail(`the relay was not done within ${deadlineMs / 1_000} s`);
    await pause(5, stop);
  }
}

/** A few events at a time, so that there are many requests. */
async function appendUntil(store: MemoryEventStore<'orders'>, enough: AbortSignal): Promise<void> {
  for (let n = (await store.head()).position; !enough.aborted;) {
    for (let some = 0; some < 5; some++, n++) {
      await store.append({ stream: `order-${n}`, expectedVersion: 0, events: [newEvent({ type: 'OrderApproved', orderId: `o-${n}`, customerId: `c-${n % customers}`, at: '2026-01-01T00:00:00.000Z' })] });
    }
    await pause(5, enough);
  }
}

/**
 * What one would write who trusts the idempotent producer: several sends in flight, and what failed is sent again with the same producer. To be caught:
 * kafkajs takes back the sequence number of a send whose answer was lost, and the broker acknowledges the next event under that number as one it has.
 */
export class TrustingPublisher implements TrialPublisher {
  private readonly producer;
  private connected: Promise<void> | undefined;

  constructor(kafka: Kafka, private readonly options: { topicPrefix: string }) {
    this.producer = kafka.producer({ idempotent: true, maxInFlightRequests: 5, allowAutoTopicCreation: false, createPartitioner: Partitioners.DefaultPartitioner, retry: { initialRetryTime: 20, retries: 1 } });
  }

  async publish(context: Context, messages: readonly Message[]): Promise<void> {
    this.connected ??= this.producer.connect().catch((error: unknown) => { this.connected = undefined; throw error; });
    await this.connected;
    const topic = eventsTopic(this.options.topicPrefix, context);
    const send = async (message: Message): Promise<void> => {
      const { partition, key, timestamp, value } = message;
      await this.producer.send({ topic, acks: -1, messages: [{ partition, key, timestamp: String(timestamp), value }] });
    };
    let open = [...messages];
    while (open.length > 0) {
      const failed: Message[] = [];
      for (let from = 0; from < open.length; from += 3) {
        await Promise.all(open.slice(from, from + 3).map((message) => send(message).catch(() => { failed.push(message); })));
      }
      open = failed;
    }
  }

  async close(): Promise<void> {
    await this.producer.disconnect();
  }
}
