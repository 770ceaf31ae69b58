import { expect } from 'chai';
import { rm } from 'node:fs/promises';
import type { Kafka } from 'kafkajs';
import sinon from 'sinon';
import { kafkaCommand, kafkaPidFile, startKafka } from '../../../infra/kafka.js';
import { runningPid, stopServer } from '../../../infra/processes.js';
import { fetchSoftware } from '../../../infra/software.js';
import { directory as infraDirectory } from '../../../infra/state.js';
import type { CommandQueue, Lease } from '../../../src/application/ports/command-queue.js';
import { Rejection } from '../../../src/domain/shared/rejection.js';
import { connectKafka } from '../../../src/infrastructure/kafka/server/kafka-client.js';
import { KafkaCommandQueue } from '../../../src/infrastructure/kafka/commands/kafka-command-queue.js';
import { commandsTopic } from '../../../src/infrastructure/kafka/server/kafka-topics.js';
import { done, newCommand, refusal } from '../../contracts/command-queue.contract.js';
import { quiet } from '../../support/events.js';
import { forgetTopics, notRun, plainBroker, runPrefix } from '../../support/infra.js';
import { isProduce, proxiedKafka, readTopic } from '../../support/kafka.js';
import { temporaryDirectory } from '../../support/postgres.js';
import { eventually } from '../../support/service.js';
import { tcpProxy, type TcpProxy } from '../../support/tcp-proxy.js';

const never = new AbortController().signal;
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

if (plainBroker === undefined) notRun('the command queue in Kafka');
else withKafka(plainBroker);

function withKafka(plain: string): void {
  describe('the command queue in Kafka', function () {
    this.timeout(60_000);
    const kafka = connectKafka({ brokers: [plain], topicPrefix: '' });
    let topicPrefix: string;
    let topics = 0;
    let closing: (() => Promise<unknown>)[];
    beforeEach(() => {
      topicPrefix = `${runPrefix}-commands-${++topics}.`;
      closing = [() => forgetTopics(kafka, topicPrefix)];
    });
    afterEach(async () => {
      sinon.restore();
      for (const close of closing.reverse()) await close();
    });

    function open(through: Kafka = kafka, { limit = 10_000, retentionHours = 24 } = {}): KafkaCommandQueue {
      const queue = new KafkaCommandQueue(through, { context: 'orders', topicPrefix, limit, retentionHours, logger: quiet });
      closing.push(() => queue.close());
      return queue;
    }
    async function openThroughProxy(): Promise<{ queue: KafkaCommandQueue; proxy: TcpProxy }> {
      const { kafka: through, proxy } = await proxiedKafka(plain);
      closing.push(() => proxy.close());
      const queue = open(through);
      await queue.depth();
      return { queue, proxy };
    }
    const lease = (queue: CommandQueue, limit = 10, leaseMs = 5_000) => queue.lease({ limit, leaseMs, waitMs: 0 }, never);
    const written = async () => (await readTopic(kafka, commandsTopic(topicPrefix, 'orders'))).map(({ value }) => JSON.parse(value) as { id: string; operation: { type: string } });

    it('is the same in every process, whatever their limits and clocks are, and in one that comes later', async () => {
      const queues = [open(), open(kafka, { limit: 1 }), open()];
      await Promise.all(queues.map((queue) => queue.depth()));
      const real = Date.now;
      let calls = 0;
      // Each call finds another time: an hour too early, or too late.
      sinon.stub(Date, 'now').callsFake(() => real() + (++calls % 2 === 0 ? 3_600_000 : -3_600_000));
      const commands = Array.from({ length: 60 }, (_, n) => newCommand(`s-${n % 7}`));
      await Promise.all(commands.map((command, n) => queues[n % 3]!.enqueue(command).catch((error: unknown) => { if ((error as Rejection).code !== 'queue.full') throw error; })));
      const finished: string[] = [];
      await Promise.all(queues.map(async (queue, n) => {
        for (let leases = await lease(queue, 3); leases.length > 0; leases = await lease(queue, 3)) {
          for (const [index, held] of leases.entries()) {
            // Some are renewed, and cancelling what is under way changes nothing.
            if (index === 1) await queue.renew([held], 5_000);
            if (index === 2) expect((await queues[(n + 1) % 3]!.cancel(held.command.commandId))?.status).to.equal('running');
            expect(await queue.finish(held, done)).to.equal(true);
            finished.push(held.command.commandId);
          }
        }
      }));
      const lists = await Promise.all([...queues, open()].map((queue) => queue.list({ limit: 100 })));
      expect(lists[0]!.length).to.be.greaterThan(39);
      for (const list of lists) expect(list).to.deep.equal(lists[0]);
      expect([...finished].sort()).to.deep.equal(lists[0]!.map(({ commandId }) => commandId).sort());
      expect(lists[0]!.every(({ attempts, status }) => attempts === 1 && status === 'succeeded')).to.equal(true);
    });

    it('does each operation once when the answers of the broker are lost', async () => {
      const { queue, proxy } = await openThroughProxy();
      proxy.dropAnswers(isProduce, 3);
      const commands = Array.from({ length: 20 }, (_, n) => newCommand(`s-${n % 4}`));
      for (const command of commands) expect((await queue.enqueue(command)).commandId).to.equal(command.commandId);
      const order: string[] = [];
      while (await queue.depth() > 0) {
        for (const held of await lease(queue)) {
          expect(held).to.include({ attempt: 1, fence: 1 });
          expect(await queue.finish(held, done)).to.equal(true);
          order.push(held.command.commandId);
        }
      }
      proxy.restore();
      expect(proxy.dropped).to.be.greaterThan(10);
      const ids = (await written()).map(({ id }) => id);
      expect(ids.length - new Set(ids).size, 'written twice').to.be.greaterThan(5);
      expect(order).to.have.members(commands.map(({ commandId }) => commandId)).and.have.length(20);
      for (const stream of ['s-0', 's-1', 's-2', 's-3']) {
        const own = commands.filter((command) => command.stream === stream).map(({ commandId }) => commandId);
        expect(order.filter((id) => own.includes(id))).to.deep.equal(own);
      }
      expect(await open().list({ limit: 100 })).to.deep.equal(await queue.list({ limit: 100 }));
    });

    it('says so within 5 s while the broker is away, and what nobody could be told of is not done later', async () => {
      const { queue, proxy } = await openThroughProxy();
      await queue.enqueue(newCommand('s'));
      proxy.cut();
      const began = performance.now();
      const refused = await Promise.all([0, 1_000].map(async (ms) => {
        await pause(ms);
        return Promise.all([queue.enqueue(newCommand('t')), lease(queue), queue.list({ limit: 1 }), queue.cancel('x'), queue.find('x')].map(refusal));
      }));
      expect(performance.now() - began).to.be.within(4_900, 8_000);
      expect(new Set(refused.flat())).to.deep.equal(new Set(['log.unavailable']));
      proxy.restore();
      await eventually('it goes on', async () => (await refusal(queue.list({ limit: 1 }))) === 'nothing', 20_000);
      expect((await queue.list({ limit: 10 })).map(({ stream, attempts }) => [stream, attempts])).to.deep.equal([['s', 0]]);
    });

    it('does not do what the network kept back until its caller had given up', async () => {
      const { queue, proxy } = await openThroughProxy();
      const waiting = newCommand('s');
      await queue.enqueue(waiting);
      // It is read, and so accepted, perhaps before the broker's answer to the writer: without that one nothing more would be sent.
      await pause(1_000);
      proxy.blackHole();
      const began = performance.now();
      const answers = await Promise.all([
        queue.enqueue(newCommand('t')).catch((error: unknown) => (error as Rejection).details.outcome), refusal(lease(queue)),
        // Asked for while another one is under way.
        pause(300).then(() => queue.enqueue(newCommand('u')).catch((error: unknown) => (error as Rejection).details.outcome)),
      ]);
      expect(answers).to.deep.equal(['unknown', 'log.unavailable', undefined]);
      expect(performance.now() - began).to.be.within(4_900, 8_000);
      proxy.restore();
      await eventually('it goes on', async () => (await refusal(queue.list({ limit: 1 }))) === 'nothing', 30_000);
      const types = (await written()).map(({ operation }) => operation.type);
      expect(types.filter((type) => type === 'enqueue')).to.have.length(2);
      expect((await queue.list({ limit: 10 })).map(({ commandId, attempts }) => [commandId, attempts])).to.deep.equal([[waiting.commandId, 0]]);
      expect(await lease(queue)).to.have.length(1);
    });

    for (const away of ['cut', 'blackHole'] as const) {
      it(`closes within seconds while the broker is away (${away}), and answers those who wait`, async () => {
        const { queue, proxy } = await openThroughProxy();
        proxy[away]();
        const waits = refusal(queue.enqueue(newCommand()));
        await pause(500);
        const began = performance.now();
        await queue.close();
        expect(await waits).to.equal('log.unavailable');
        expect(await refusal(queue.find('x'))).to.equal('log.unavailable');
        expect(performance.now() - began).to.be.lessThan(7_000);
      });
    }

    it('closes at once when it was never used, and leaves no consumer group behind', async () => {
      await open().close();
      const queue = open();
      await queue.enqueue(newCommand());
      await queue.close();
      const admin = kafka.admin();
      await admin.connect();
      try {
        expect((await admin.listGroups()).groups.map(({ groupId }) => groupId).filter((id) => id.startsWith(topicPrefix))).to.deep.equal([]);
      } finally {
        await admin.disconnect();
      }
    });

    it('takes many large commands in the same moment', async () => {
      const queue = open();
      const commands = Array.from({ length: 20 }, (_, n) => newCommand(`s-${n}`, { command: { type: 'CancelOrder', orderId: 'o', reason: 'ß'.repeat(120_000) } as never }));
      await Promise.all([...commands, ...Array.from({ length: 700 }, () => newCommand())].map((command) => queue.enqueue(command)));
      expect(await open().depth()).to.equal(720);
    });

    it('passes over what is no operation', async () => {
      const queue = open();
      await queue.enqueue(newCommand('s'));
      const producer = kafka.producer();
      await producer.connect();
      for (const value of ['{', 'null', '{"id":"x"}', '{"id":"y","operation":{"type":"enqueue"}}', null]) await producer.send({ topic: commandsTopic(topicPrefix, 'orders'), messages: [{ value }] });
      await producer.disconnect();
      await queue.enqueue(newCommand('t'));
      expect(await lease(queue)).to.have.length(2);
      expect(await open().depth()).to.equal(2);
    });

    it('forgets what ended longer ago than it is kept, and those who come later agree with those who remember', async () => {
      const queue = open(kafka, { retentionHours: 0 });
      const end = async (command = newCommand('s')) => {
        await queue.enqueue(command);
        for (const held of await lease(queue)) await queue.finish(held, done);
        return command;
      };
      await end();
      await queue.enqueue(newCommand('waits'));
      await pause(20);
      await queue.forgetOld();
      const late = open();
      expect((await late.list({ limit: 10 })).map(({ stream }) => stream)).to.deep.equal(['waits']);
      expect(await queue.list({ limit: 10 })).to.have.length(2);
      expect(await written()).to.have.length.lessThan(6);
      const [held] = await lease(late);
      expect(await queue.renew([held!], 5_000)).to.deep.equal([true]);
      expect(await late.finish(held!, done)).to.equal(true);
      expect((await queue.list({ limit: 10 })).map(({ status }) => status)).to.deep.equal(['succeeded', 'succeeded']);
      // What ended since something waits is not forgotten.
      await queue.enqueue(newCommand('begun'));
      await lease(queue);
      const ended = await end();
      await pause(20);
      await queue.forgetOld();
      expect((await open().find(ended.commandId))?.status).to.equal('succeeded');
    });

    it('begins anew when it finds its place in the topic deleted, or the topic gone', async () => {
      const { queue, proxy } = await openThroughProxy();
      for (let n = 0; n < 5; n++) await queue.enqueue(newCommand('old'));
      proxy.cut();
      const another = open(kafka, { retentionHours: 0 });
      for (let leases = await lease(another); leases.length > 0; leases = await lease(another)) for (const held of leases) await another.finish(held, done);
      await another.enqueue(newCommand('new'));
      await pause(20);
      await another.forgetOld();
      proxy.restore();
      await eventually('it goes on', async () => (await refusal(queue.list({ limit: 1 }))) === 'nothing', 20_000);
      expect((await queue.list({ limit: 10 })).map(({ stream }) => stream)).to.deep.equal(['new']);

      await forgetTopics(kafka, topicPrefix);
      const fresh = newCommand('fresh');
      await eventually('it goes on', async () => (await refusal(queue.enqueue(fresh))) === 'nothing', 30_000);
      expect((await queue.list({ limit: 10 })).map(({ stream }) => stream)).to.deep.equal(['fresh']);
    });

    it('gives the commands of a worker that died to another one when the leases end, and each ends once', async () => {
      const [dead, heir] = [open(), open()];
      const commands = Array.from({ length: 10 }, (_, n) => newCommand(`s-${n}`));
      await Promise.all(commands.map((command) => dead.enqueue(command)));
      const lost = await lease(dead, 4, 1_000);
      expect(lost).to.have.length(4);
      const ends = new Map<string, number>();
      const began = performance.now();
      while (ends.size < 10) {
        for (const held of await heir.lease({ limit: 3, leaseMs: 5_000, waitMs: 1_000 }, never)) {
          if (await heir.finish(held, done)) ends.set(held.command.commandId, held.attempt);
        }
      }
      expect(performance.now() - began).to.be.within(500, 4_000);
      expect([...ends.values()].sort()).to.deep.equal([1, 1, 1, 1, 1, 1, 2, 2, 2, 2]);
      // It was only asleep.
      for (const held of lost) expect(await dead.finish(held, { status: 'failed', error: 'late' })).to.equal(false);
      expect(new Set((await dead.list({ limit: 20 })).map(({ status }) => status))).to.deep.equal(new Set(['succeeded']));
    });
  });

  describe('the command queue in Kafka, when its broker dies', function () {
    this.timeout(180_000);
    let home: string;
    const ports = { broker: 0, controller: 0 };
    let kafka: Kafka;
    const start = async () => startKafka(home, await fetchSoftware(infraDirectory), ports);
    before(async () => {
      home = await temporaryDirectory();
      for (const name of ['broker', 'controller'] as const) {
        const { port, close } = await tcpProxy({ host: '127.0.0.1', port: 1 });
        await close();
        ports[name] = port;
      }
      await start();
      kafka = connectKafka({ brokers: [`127.0.0.1:${ports.broker}`], topicPrefix: '' });
    });
    after(async () => {
      await stopServer(kafkaPidFile(home), kafkaCommand);
      await rm(home, { recursive: true, force: true });
    });

    it('goes on by itself when it is back: what was accepted is done once and in order', async () => {
      const queues = [0, 1].map(() => new KafkaCommandQueue(kafka, { context: 'orders', topicPrefix: 'restart.', limit: 10_000, retentionHours: 24, logger: quiet }));
      const accepted: string[] = [];
      const finished: string[] = [];
      let refusals = 0;
      const stop = new AbortController();
      const outage = async (error: unknown): Promise<undefined> => {
        if (!(error instanceof Rejection) || error.code !== 'log.unavailable') throw error;
        refusals++;
        await pause(100);
        return undefined;
      };
      const streams = ['a', 'b', 'c'];
      const clients = streams.map(async (stream, n) => {
        while (!stop.signal.aborted) {
          const command = newCommand(stream);
          // As a client does that was told that nothing is known: the same one again.
          while (await queues[n % 2]!.enqueue(command).catch(outage) === undefined);
          accepted.push(command.commandId);
        }
      });
      const end = async (queue: CommandQueue, held: Lease) => {
        for (;;) {
          const kept = await queue.finish(held, done).catch(outage);
          if (kept === undefined) continue;
          if (kept) finished.push(held.command.commandId);
          return;
        }
      };
      const drained = new AbortController();
      const workers = queues.map(async (queue) => {
        while (!drained.signal.aborted) {
          const leases = await queue.lease({ limit: 2, leaseMs: 4_000, waitMs: 500 }, drained.signal).catch(outage);
          await Promise.all((leases ?? []).map((held) => end(queue, held)));
        }
      });
      try {
        for (const awayMs of [0, 7_000]) {
          await pause(1_500);
          process.kill((await runningPid(kafkaPidFile(home), kafkaCommand))!, 'SIGKILL');
          await pause(awayMs);
          await start();
          const before = finished.length;
          await eventually('it goes on', async () => finished.length > before + 20, 30_000);
        }
        stop.abort();
        await Promise.all(clients);
        await eventually('everything is done', async () => (await queues[0]!.depth()) === 0, 30_000);
        drained.abort();
        await Promise.all(workers);
        const [list, same] = await Promise.all(queues.map((queue) => queue.list({ limit: 100_000 })));
        expect(list).to.deep.equal(same);
        expect(refusals).to.be.greaterThan(0);
        expect(new Set(finished).size).to.equal(finished.length);
        expect([...finished].sort()).to.deep.equal([...accepted].sort());
        expect(list!.map(({ commandId }) => commandId).sort()).to.deep.equal([...accepted].sort());
        for (const stream of streams) {
          const own = list!.filter((one) => one.stream === stream).reverse();
          expect(own.map(({ commandId }) => commandId)).to.deep.equal(accepted.filter((id) => own.some(({ commandId }) => commandId === id)));
          own.slice(1).forEach(({ startedAt }, n) => { expect(startedAt! >= own[n]!.finishedAt!).to.equal(true); });
        }
      } finally {
        stop.abort();
        drained.abort();
        await Promise.all(queues.map((queue) => queue.close()));
      }
    });
  });
}
