import { randomUUID } from 'node:crypto';
import type { Consumer, Kafka } from 'kafkajs';
import { endOf } from '../../../application/log/message.js';
import type { TopicEnd } from '../../../application/ports/published-topic.js';
import { within } from '../../../application/concurrency/within.js';
import { leave } from '../server/kafka-client.js';

/** The offsets at which a partition begins and ends; `end` is the one after its last message. */
export interface Extent { low: bigint; end: bigint }

/** How many offsets before the end are read: the last ones may be transaction markers, or messages that are not ours. */
const looked = 10n;
const deadlineMs = 15_000;
/** When every partition has delivered something and nothing more comes for so long, the last offsets hold no messages. */
const quietMs = 2_000;
const closeMs = 3_000;

/**
 * Reads the last messages of these partitions, by a consumer in a group of its own, which is deleted afterwards.
 * @returns by partition, the end that the last message of ours states
 * @throws Error when a partition delivers no message of ours in time
 */
export async function lastMessages(kafka: Kafka, topic: string, extents: ReadonlyMap<number, Extent>): Promise<Map<number, TopicEnd>> {
  const found = new Map<number, TopicEnd>();
  const open = new Map([...extents].filter(([, { low, end }]) => end > low));
  if (open.size === 0) return found;
  const groupId = `${topic}-end-${randomUUID()}`;
  const consumer = kafka.consumer({
    groupId,
    sessionTimeout: 10_000,
    maxWaitTimeInMs: 50,
    allowAutoTopicCreation: false,
    retry: { retries: 2, restartOnFailure: () => Promise.resolve(false) },
  });
  let over = false;
  let lastMessageAt = performance.now();
  const finished = new Promise<void>((resolve, reject) => {
    consumer.on(consumer.events.CRASH, ({ payload: { error } }) => { reject(error); });
    consumer.on(consumer.events.GROUP_JOIN, () => {
      for (const [partition, { low, end }] of open) consumer.seek({ topic, partition, offset: String(end - looked > low ? end - looked : low) });
    });
    consumer.on(consumer.events.FETCH, () => {
      const quiet = performance.now() - lastMessageAt > quietMs;
      if (open.size === 0 || (quiet && [...open.keys()].every((one) => found.has(one)))) resolve();
    });
    read(consumer, topic, (partition, offset, value) => {
      const end = open.get(partition)?.end;
      if (over || end === undefined || offset >= end) return;
      const last = endOf(value);
      if (last !== undefined) found.set(partition, last);
      lastMessageAt = performance.now();
      if (offset + 1n === end && found.has(partition)) open.delete(partition);
      if (open.size === 0) resolve();
    }).catch(reject);
  });
  try {
    const missing = () => `the last messages of ${topic} (partitions ${[...open.keys()].join(', ')}) were not to be had within ${deadlineMs} ms`;
    await within(deadlineMs, () => new Error(missing()), finished);
    return found;
  } finally {
    over = true;
    finished.catch(() => undefined);
    await leave(consumer);
    await within(closeMs, () => new Error('it hangs'), forget(kafka, groupId)).catch(() => undefined);
  }
}

async function read(consumer: Consumer, topic: string, onMessage: (partition: number, offset: bigint, value: string) => void): Promise<void> {
  await consumer.connect();
  await consumer.subscribe({ topics: [topic], fromBeginning: true });
  await consumer.run({
    autoCommit: false,
    eachMessage: ({ partition, message: { offset, value } }) => {
      onMessage(partition, BigInt(offset), value?.toString() ?? '');
      return Promise.resolve();
    },
  });
}

async function forget(kafka: Kafka, groupId: string): Promise<void> {
  const admin = kafka.admin({ retry: { retries: 0 } });
  try {
    await admin.connect();
    await admin.deleteGroups([groupId]);
  } finally {
    void admin.disconnect().catch(() => undefined);
  }
}
