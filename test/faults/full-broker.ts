import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { kafkaCommand, kafkaPidFile, startKafka } from '../../infra/kafka.js';
import { runningPid, stopServer } from '../../infra/processes.js';
import { fetchSoftware } from '../../infra/software.js';
import { directory as infraDirectory } from '../../infra/state.js';
import { freePort } from '../../src/infrastructure/process/free-port.js';
import { serve, type Running } from '../support/cli.js';
import { differencesFromLog } from '../support/naive-fold.js';
import { freshDatabase, temporaryDirectory } from '../support/postgres.js';
import { ask, eventually } from '../support/service.js';
import { fill, smallDisk } from './small-disk.js';
import { fail } from './support.js';

const convergeMs = 90_000;

/** The disk of Kafka's log directory is filled under load: a broker ends itself then. Commands go on, the views say so, and all is made up for when the broker has space and is started again. */
export async function fullBroker(): Promise<string> {
  const { directory: disk, remove } = await smallDisk(192);
  const dataDir = await temporaryDirectory();
  const fresh = await freshDatabase();
  const ports = { broker: await freePort(), controller: await freePort() };
  const software = await fetchSoftware(infraDirectory);
  let running: Running | undefined;
  let stopped = false;
  try {
    await startKafka(disk, software, ports);
    running = await serve({ DATABASE_URL: fresh.url, DATA_DIR: dataDir, FEED: 'kafka', KAFKA_BROKERS: `127.0.0.1:${ports.broker}`, KAFKA_PARTITIONS: '3', LOG_LEVEL: 'fatal' });
    const { url } = running;
    const ready = async () => (await ask(url, 'GET', '/health/ready')).body as { status: string };
    let registered = 0;
    const client = async (name: string) => {
      for (let n = 0; !stopped; n++) {
        // Large, so that the topic needs space.
        const { status } = await ask(url, 'POST', '/customers', { customerId: `${name}-${n}`, name: 'x'.repeat(200), contactName: 'y'.repeat(200), currency: 'EUR' });
        if (status !== 201) fail(`a command was answered with ${status}`);
        registered++;
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    };
    const load = Array.from({ length: 4 }, (_, n) => client(`c-${n}`));
    await eventually('views follow', async () => (await ask(url, 'GET', '/customers?limit=1')).body.total > 100, 30_000, 100);
    const ballast = join(disk, 'ballast');
    await fill(ballast);
    await eventually('the broker ends, or the service says that it is behind', async () => await runningPid(kafkaPidFile(disk), kafkaCommand) === undefined || (await ready()).status !== 'ready', convergeMs, 500);
    const before = registered;
    await new Promise((resolve) => setTimeout(resolve, 10_000));
    if (registered === before) fail('commands wait for Kafka');
    await rm(ballast);
    await stopServer(kafkaPidFile(disk), kafkaCommand);
    const began = performance.now();
    await startKafka(disk, software, ports);
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    stopped = true;
    await Promise.all(load);
    await eventually('the views have everything', async () => (await ask(url, 'GET', '/customers?limit=1&total=exact')).body.total === registered && (await ready()).status === 'ready', convergeMs, 200);
    const convergedMs = Math.round(performance.now() - began);
    const differences = await differencesFromLog({ customers: url, orders: url }, { customers: fresh.url, orders: fresh.url });
    if (differences.length > 0) fail(`the views are not what the log says: ${differences.slice(0, 3).join('; ')}`);
    return `Kafka's disk full: ${registered} commands, none refused; ${registered - before} of them without Kafka or after it; the views had all ${convergedMs} ms after the broker was started again`;
  } finally {
    stopped = true;
    await running?.stop();
    await stopServer(kafkaPidFile(disk), kafkaCommand);
    await remove();
    await rm(dataDir, { recursive: true, force: true });
    await fresh.drop();
  }
}
