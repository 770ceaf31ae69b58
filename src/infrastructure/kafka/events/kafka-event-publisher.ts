import type { Kafka, Producer, RecordMetadata } from 'kafkajs';
import { endOf } from '../../../application/log/message.js';
import type { Source } from '../../../application/ports/event-feed.js';
import type { EventPublisher, Message } from '../../../application/ports/event-publisher.js';
import type { PublishedTopic, TopicEnd } from '../../../application/ports/published-topic.js';
import type { Context } from '../../../domain/events.js';
import { within } from '../../../application/concurrency/within.js';
import { leave, loadKafkajs } from '../server/kafka-client.js';
import { ensureTopic, eventsTopic } from '../server/kafka-topics.js';
import { TopicExtents, type Sent } from './topic-extents.js';

const chunk = 1_000;
/** A whole chunk may go to one partition, and a broker refuses more than 1 MB for a partition at a time. */
const chunkBytes = 500_000;
const deadlineMs = 30_000;

/**
 * Has one `send` in flight, and opens another producer after any error. The idempotent producer of kafkajs is not used: it can acknowledge a message that
 * is not in the topic (docs/decisions/0006). A retry can make duplicates, which every reader drops by the chain.
 */
export class KafkaEventPublisher implements EventPublisher, PublishedTopic {
  private readonly producers = new Map<Context, Promise<Producer>>();
  private readonly extents = new Map<Context, TopicExtents>();

  constructor(private readonly kafka: Kafka, private readonly options: { topicPrefix: string; partitions: number }) {}

  async publish(context: Context, messages: readonly Message[]): Promise<void> {
    const topic = eventsTopic(this.options.topicPrefix, context);
    const opening = this.producers.get(context) ?? this.open(topic);
    this.producers.set(context, opening);
    try {
      const producer = await opening;
      for (const some of inChunks(messages)) {
        const sending = producer.send({
          topic,
          acks: -1,
          messages: some.map(({ timestamp, ...message }) => ({ ...message, timestamp: String(timestamp) })),
        });
        const stored = await within(deadlineMs, () => new Error(`Kafka has not taken the events within ${deadlineMs} ms`), sending);
        this.extentsOf(context).sent(sentBy(some, stored));
      }
    } catch (error) {
      this.producers.delete(context);
      // Not awaited: a producer that hangs must not delay the next attempt.
      void leaveOnce(opening);
      throw error;
    }
  }

  async ends(context: Context): Promise<ReadonlyMap<Source, TopicEnd>> {
    await ensureTopic(this.kafka, eventsTopic(this.options.topicPrefix, context), this.options.partitions);
    return this.extentsOf(context).ends();
  }

  unchanged(context: Context): Promise<boolean> {
    return this.extentsOf(context).unchanged();
  }

  async close(): Promise<void> {
    await Promise.all([...this.producers.values()].map(leaveOnce));
    this.producers.clear();
  }

  private extentsOf(context: Context): TopicExtents {
    const extents = this.extents.get(context) ?? new TopicExtents(this.kafka, eventsTopic(this.options.topicPrefix, context), context);
    this.extents.set(context, extents);
    return extents;
  }

  private async open(topic: string): Promise<Producer> {
    const { Partitioners } = loadKafkajs();
    await ensureTopic(this.kafka, topic, this.options.partitions);
    const producer = this.kafka.producer({
      idempotent: false,
      maxInFlightRequests: 1,
      allowAutoTopicCreation: false,
      createPartitioner: Partitioners.DefaultPartitioner,
    });
    await producer.connect();
    return producer;
  }
}

/** Ends the producer, also when it fails to open. */
function leaveOnce(opening: Promise<Producer>): Promise<void> {
  return leave({ disconnect: async () => { await (await opening).disconnect(); } });
}

/** What was sent to each partition, with the offset that the broker has answered. */
function sentBy(messages: readonly Message[], stored: readonly RecordMetadata[]): Sent[] {
  return stored.flatMap(({ partition, baseOffset }) => {
    const own = messages.filter((one) => one.partition === partition);
    const last = endOf(own.at(-1)?.value ?? '');
    return last === undefined ? [] : [{ partition, count: own.length, last, ...(baseOffset !== undefined && { baseOffset }) }];
  });
}

function* inChunks(messages: readonly Message[]): Generator<Message[]> {
  let some: Message[] = [];
  let bytes = 0;
  for (const message of messages) {
    const size = Buffer.byteLength(message.value);
    if (some.length === chunk || (some.length > 0 && bytes + size > chunkBytes)) {
      yield some;
      some = [];
      bytes = 0;
    }
    some.push(message);
    bytes += size;
  }
  if (some.length > 0) yield some;
}
