import type { Kafka } from 'kafkajs';
import { source } from '../../../application/log/partition.js';
import type { Context } from '../../../domain/events.js';
import { leave } from '../server/kafka-client.js';
import type { HeldPartitions } from './held-partitions.js';

interface Watched {
  groupId: string;
  topics: ReadonlyMap<string, Context>;
  held: HeldPartitions;
}

/** A consumer that neither crashes nor goes on would be waited for in vain: it is measured by what there is to read. */
export async function findStuck(kafka: Kafka, { groupId, topics, held }: Watched, found: (topic: string, partition: number) => void): Promise<void> {
  const still = held.still();
  if (still.size === 0) return;
  const admin = kafka.admin();
  try {
    await admin.connect();
    const committed = await admin.fetchOffsets({ groupId, topics: [...topics.keys()] });
    for (const [topic, context] of topics) {
      const offsets = committed.find((one) => one.topic === topic)?.partitions ?? [];
      for (const { partition, high } of await admin.fetchTopicOffsets(topic)) {
        const one = source(context, partition);
        // -1 where nothing was committed.
        const began = BigInt(Math.max(0, Number(offsets.find((other) => other.partition === partition)?.offset ?? '0')));
        if (still.has(one) && held.isStuck(one, BigInt(high), began)) found(topic, partition);
      }
    }
  } finally {
    await leave(admin);
  }
}
