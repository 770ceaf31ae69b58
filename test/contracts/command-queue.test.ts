import { MemoryCommandQueue } from '../../src/infrastructure/memory/memory-command-queue.js';
import { openDatabase } from '../../src/infrastructure/postgres/connection/database.js';
import { PostgresCommandQueue } from '../../src/infrastructure/postgres/log/postgres-command-queue.js';
import { connectKafka } from '../../src/infrastructure/kafka/server/kafka-client.js';
import { KafkaCommandQueue } from '../../src/infrastructure/kafka/commands/kafka-command-queue.js';
import { quiet } from '../support/events.js';
import { forgetTopics, kafkaConfig, kafkaSettings, notRun, runPrefix } from '../support/infra.js';
import { onEachPostgres } from '../support/postgres.js';
import { commandQueueContract } from './command-queue.contract.js';

commandQueueContract('memory', async (limit) => {
  const queue = new MemoryCommandQueue(limit);
  return { queue, another: () => queue, close: async () => undefined };
});

onEachPostgres('CommandQueue contract: postgres', (server) => {
  commandQueueContract(server.name, async (limit) => {
    const fresh = await server.freshDatabase();
    const databases = [openDatabase(fresh.url, 'orders'), openDatabase(fresh.url, 'orders')] as const;
    return {
      queue: new PostgresCommandQueue(databases[0], limit),
      another: () => new PostgresCommandQueue(databases[1], limit),
      close: async () => {
        await Promise.all(databases.map((database) => database.close()));
        await fresh.drop();
      },
    };
  });
});

if (kafkaSettings === undefined) notRun('CommandQueue contract: kafka');
else {
  const kafka = connectKafka(kafkaConfig());
  let queues = 0;
  commandQueueContract('kafka', async (limit) => {
    const topicPrefix = `${runPrefix}-queue-${++queues}.`;
    const open: KafkaCommandQueue[] = [];
    const another = () => {
      const queue = new KafkaCommandQueue(kafka, { context: 'orders', topicPrefix, limit, retentionHours: 24, logger: quiet });
      open.push(queue);
      return queue;
    };
    return {
      queue: another(), another,
      close: async () => {
        await Promise.all(open.map((queue) => queue.close()));
        await forgetTopics(kafka, topicPrefix);
      },
    };
  });
}
