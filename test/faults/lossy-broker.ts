import { readFile, readdir, rm, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { kafkaCommand, kafkaPidFile, startKafka } from '../../infra/kafka.js';
import { runningPid, stopServer } from '../../infra/processes.js';
import { fetchSoftware } from '../../infra/software.js';
import { directory as infraDirectory } from '../../infra/state.js';
import { contexts } from '../../src/domain/events.js';
import { freePort } from '../../src/infrastructure/process/free-port.js';
import { connectKafka } from '../../src/infrastructure/kafka/server/kafka-client.js';
import { ensureTopic, eventsTopic } from '../../src/infrastructure/kafka/server/kafka-topics.js';
import { temporaryDirectory } from '../support/postgres.js';
import { eventually } from '../support/service.js';
import { fail } from './support.js';

interface Topics { topicPrefix: string; partitions: number }

/** A Kafka of our own, which may lose what it has. */
export class LossyBroker {
  private constructor(private readonly home: string, private readonly ports: { broker: number; controller: number }, private readonly topics: Topics) {}

  static async start(topics: Topics): Promise<LossyBroker> {
    const broker = new LossyBroker(await temporaryDirectory(), { broker: await freePort(), controller: await freePort() }, topics);
    await broker.start();
    return broker;
  }

  get address(): string { return `127.0.0.1:${this.ports.broker}`; }

  async start(): Promise<void> {
    await startKafka(this.home, await fetchSoftware(infraDirectory), this.ports);
  }

  async kill(): Promise<void> {
    const running = () => runningPid(kafkaPidFile(this.home), kafkaCommand);
    const pid = await running() ?? fail('Kafka has ended by itself');
    process.kill(pid, 'SIGKILL');
    await eventually('Kafka is gone', async () => await running() === undefined);
  }

  async end(): Promise<void> {
    await stopServer(kafkaPidFile(this.home), kafkaCommand);
    await rm(this.home, { recursive: true, force: true });
  }

  async remakeTopics(): Promise<string> {
    const { topicPrefix, partitions } = this.topics;
    const kafka = connectKafka({ brokers: [this.address], topicPrefix });
    const admin = kafka.admin();
    await admin.connect();
    try {
      const topics = contexts.map((context) => eventsTopic(topicPrefix, context));
      const offsets = (await Promise.all(topics.map((topic) => admin.fetchTopicOffsets(topic)))).flat();
      await admin.deleteTopics({ topics });
      for (const topic of topics) await ensureTopic(kafka, topic, partitions);
      return `${offsets.reduce((sum, { offset }) => sum + Number(offset), 0)} records`;
    } finally {
      await admin.disconnect();
    }
  }

  async wipe(): Promise<string> {
    await rm(join(this.home, 'kafka/data'), { recursive: true });
    return 'all of it';
  }

  /** Cuts so many records off the orders' topic, or a few more: whole batches go. The broker, which is killed, takes what is left for all that was ever written. */
  async cutTails(lostRecords: number): Promise<string> {
    const data = join(this.home, 'kafka/data');
    const directories = (await readdir(data)).filter((name) => name.startsWith(`${eventsTopic(this.topics.topicPrefix, 'orders')}-`));
    let records = 0;
    for (const directory of directories) {
      const file = join(data, directory, (await readdir(join(data, directory))).filter((name) => name.endsWith('.log')).sort().at(-1) ?? fail('a partition has no segment'));
      const batches = batchesOf(await readFile(file));
      let cut = 0;
      while (cut < lostRecords / directories.length) {
        const batch = batches.pop() ?? fail(`${directory} holds only ${cut} records`);
        cut += batch.records;
        await truncate(file, batch.at);
      }
      records += cut;
    }
    return `${records} records`;
  }
}

/** Reads a segment in Kafka's format 2: base offset (8 bytes), length of what follows (4) …, and the number of records at byte 57. */
function batchesOf(segment: Buffer): { at: number; records: number }[] {
  const batches = [];
  for (let at = 0; at + 61 <= segment.length;) {
    const end = at + 12 + segment.readInt32BE(at + 8);
    if (end === at + 12 || end > segment.length) break;
    batches.push({ at, records: segment.readInt32BE(at + 57) });
    at = end;
  }
  return batches;
}
