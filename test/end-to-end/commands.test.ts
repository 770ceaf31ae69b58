import { expect } from 'chai';
import type { CommandRecord } from '../../src/application/ports/command-queue.js';
import { openDatabase } from '../../src/infrastructure/postgres/connection/database.js';
import { PostgresCommandQueue } from '../../src/infrastructure/postgres/log/postgres-command-queue.js';
import { done, newCommand } from '../contracts/command-queue.contract.js';
import { run, serve, type Environment } from '../support/cli.js';
import { connectKafka } from '../../src/infrastructure/kafka/server/kafka-client.js';
import { forgetTopics, kafkaConfig, kafkaSettings, notRun, runPrefix } from '../support/infra.js';
import { freshDatabase } from '../support/postgres.js';
import { ask, eventually } from '../support/service.js';

describe('orderfold commands', function () {
  this.timeout(60_000);

  it('lists, shows and cancels what was accepted for later', async () => {
    const fresh = await freshDatabase();
    const database = openDatabase(fresh.url, 'orders');
    try {
      const queue = new PostgresCommandQueue(database, 10);
      const [first, second] = [newCommand('s'), newCommand('s')];
      await queue.enqueue(first);
      await queue.enqueue(second);
      const [lease] = await queue.lease({ limit: 1, leaseMs: 5_000, waitMs: 0 }, new AbortController().signal);
      await queue.finish(lease!, done);

      const cli = (...args: string[]) => run(['commands', ...args], { DATABASE_URL: fresh.url, LOG_LEVEL: 'fatal' });
      const [all, waiting, shown, unknown] = await Promise.all([cli('list', '--json'), cli('list', '--status', 'accepted'), cli('show', first.commandId, '--json'), cli('show', 'nobody')]);
      expect((JSON.parse(all.out) as CommandRecord[]).map(({ commandId, status }) => [commandId, status])).to.deep.equal([[second.commandId, 'accepted'], [first.commandId, 'succeeded']]);
      expect(waiting.out).to.include(second.commandId).and.not.include(first.commandId);
      expect(JSON.parse(shown.out)).to.deep.include({ ...first, status: 'succeeded', end: done });
      expect([unknown.code, unknown.err]).to.deep.equal([1, 'orderfold: There is no command nobody: what ended is kept for IDEMPOTENCY_RETENTION_HOURS.\n']);

      const [cancelled, late] = await Promise.all([cli('cancel', second.commandId), cli('cancel', first.commandId)]);
      expect([cancelled.code, (await queue.find(second.commandId))?.status]).to.deep.equal([0, 'cancelled']);
      expect([late.code, late.err]).to.deep.equal([1, `orderfold: The command ${first.commandId} cannot be cancelled any more: it is succeeded.\n`]);
    } finally {
      await database.close();
      await fresh.drop();
    }
  });
});

describe('commands for later', function () {
  this.timeout(120_000);

  it('are each done once, in order, though the service is killed while it does them', async () => {
    const fresh = await freshDatabase();
    const environment = { DATABASE_URL: fresh.url, LOG_LEVEL: 'fatal', CURSOR_SECRET: 'x'.repeat(32) };
    const [streams, each] = [10, 30];
    let running = await serve(environment);
    try {
      const names = Array.from({ length: streams }, (_, n) => `c-${n}`);
      // One customer's commands one after the other: the order of their answers is the order in which they must be done.
      const sent = names.map((): string[] => []);
      const { url } = running;
      await Promise.allSettled(names.map(async (customerId, index) => {
        const locations = sent[index]!;
        const later = { prefer: 'respond-async' };
        locations.push((await ask(url, 'POST', '/customers', { customerId, name: customerId, currency: 'EUR' }, later)).headers.get('location')!);
        for (let n = 1; n < each; n++) {
          locations.push((await ask(url, 'PUT', `/customers/${customerId}/credit-limit`, { creditLimitMinor: n }, later)).headers.get('location')!);
          // Most are still waiting, and some are under way.
          if (n === each - 1 && customerId === 'c-0') await running.stop('SIGKILL');
        }
      }));
      expect(sent.flat().length).to.be.at.least(streams * each / 2);

      running = await serve(environment);
      for (const location of sent.map((locations) => locations.at(-1)!)) await eventually(`${location} is done`, async () => (await ask(running.url, 'GET', location)).body.status === 'succeeded', 60_000);
      expect((await run(['commands', 'list', '--status', 'accepted', 'running', '--json'], environment)).out.trim()).to.equal('[]');
      for (const [index, locations] of sent.entries()) {
        const ends = await Promise.all(locations.map((location) => ask(running.url, 'GET', location)));
        expect(ends.map(({ body }) => [body.status, body.result?.version])).to.deep.equal(locations.map((_, n) => ['succeeded', n + 1]));
        const { body: { items } } = await ask(running.url, 'GET', `/customers/${names[index]!}/events?limit=200`);
        expect(items.slice(1).map(({ data }: { data: { creditLimitMinor: number } }) => data.creditLimitMinor)).to.deep.equal(items.slice(1).map((_: unknown, n: number) => n + 1));
      }
    } finally {
      await running.stop();
      await fresh.drop();
    }
  });
});

if (kafkaSettings === undefined) notRun('commands for later, in Kafka');
else inKafka(kafkaSettings);

function inKafka(settings: Environment): void {
  describe('commands for later, in Kafka', function () {
    this.timeout(240_000);
    const rounds = 4;

    it('are each done once, in order, though the processes that take them and do them are killed again and again', async () => {
      const fresh = await freshDatabase();
      const topicPrefix = `${runPrefix}-killed.`;
      const environment = { DATABASE_URL: fresh.url, ...settings, COMMAND_QUEUE: 'kafka', KAFKA_TOPIC_PREFIX: topicPrefix, LOG_LEVEL: 'fatal', CURSOR_SECRET: 'x'.repeat(32) } as const;
      const startApi = () => serve(environment, '--roles', 'api');
      const startWorker = () => serve(environment, '--roles', 'worker');
      let [api, worker] = await Promise.all([startApi(), startWorker()]);
      const stop = new AbortController();
      try {
        const names = Array.from({ length: 6 }, (_, n) => `c-${n}`);
        // One customer's commands one after the other. Without an answer a client asks again under the same key, as it should.
        const clients = names.map(async (customerId) => {
          const locations: string[] = [];
          for (let n = 0; n === 0 || !stop.signal.aborted; n++) {
            const later = { prefer: 'respond-async', 'idempotency-key': `${customerId}-${n}` };
            for (let location: string | null = null; location === null;) {
              const answer = await (n === 0
                ? ask(api.url, 'POST', '/customers', { customerId, name: customerId, currency: 'EUR' }, later)
                : ask(api.url, 'PUT', `/customers/${customerId}/credit-limit`, { creditLimitMinor: n }, later)).catch(() => undefined);
              if (answer !== undefined && ![202, 503].includes(answer.status)) throw new Error(`${answer.status} ${answer.text}`);
              location = answer?.headers.get('location') ?? null;
              if (location === null) await wait(50);
              else locations.push(location);
            }
            await wait(20);
          }
          return locations;
        });
        for (let round = 0; round < rounds; round++) {
          await wait(500 + Math.random() * 1_500);
          // Either, or both.
          const [killApi, killWorker] = [round % 3 !== 1, round % 3 !== 0];
          await Promise.all([killApi && api.stop('SIGKILL'), killWorker && worker.stop('SIGKILL')]);
          [api, worker] = await Promise.all([killApi ? startApi() : api, killWorker ? startWorker() : worker]);
        }
        await wait(1_000);
        stop.abort();
        const accepted = await Promise.all(clients);
        expect(accepted.flat().length).to.be.greaterThan(100);

        for (const [index, locations] of accepted.entries()) {
          const ends = [];
          for (const location of locations) {
            ends.push(await eventually(location, async () => {
              const { status, body } = await ask(api.url, 'GET', location);
              return status === 200 && body.result !== undefined ? body : body?.problem;
            }, 60_000, 200));
          }
          expect(ends.map(({ status, result }) => [status, result?.version])).to.deep.equal(locations.map((_, n) => ['succeeded', n + 1]));
          const events: { data: { creditLimitMinor: number | null } }[] = [];
          for (let more = true; more;) {
            const { body: { items } } = await ask(api.url, 'GET', `/customers/${names[index]!}/events?limit=200&after=${events.length}`);
            events.push(...items);
            more = items.length > 0;
          }
          expect(events.map(({ data }) => data.creditLimitMinor)).to.deep.equal(locations.map((_, n) => (n === 0 ? null : n)));
        }
      } finally {
        stop.abort();
        await Promise.all([api.stop(), worker.stop()]);
        await forgetTopics(connectKafka(kafkaConfig(topicPrefix)), topicPrefix);
        await fresh.drop();
      }
    });
  });
}

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => { setTimeout(resolve, ms); });
}
