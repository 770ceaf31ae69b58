import { MemoryCommandQueue } from '../../src/infrastructure/memory/memory-command-queue.js';
import { openDatabase } from '../../src/infrastructure/postgres/database.js';
import { PostgresCommandQueue } from '../../src/infrastructure/postgres/postgres-command-queue.js';
import { freshDatabase } from '../support/postgres.js';
import { commandQueueContract } from './command-queue.contract.js';

commandQueueContract('memory', async (limit) => {
  const queue = new MemoryCommandQueue(limit);
  return { queue, another: () => queue, close: async () => undefined };
});

commandQueueContract('postgres', async (limit) => {
  const fresh = await freshDatabase();
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
