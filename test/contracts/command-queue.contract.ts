import { expect } from 'chai';
import type { CommandEnd, CommandQueue, Lease, NewCommand } from '../../src/application/ports/command-queue.js';
import { Rejection } from '../../src/domain/shared/rejection.js';
import { uuidIds } from '../../src/infrastructure/process/uuid-ids.js';

export const done: Extract<CommandEnd, { status: 'succeeded' }> = { status: 'succeeded', body: '{"id":"o-1"}', id: 'o-1', version: 2, token: 'orders:7:3' };
const refused: CommandEnd & { status: 'refused' } = { status: 'refused', code: 'order.unknown', details: { orderId: 'o-1', 'Ä "quoted"': ['\\', null] } };

export function newCommand(stream = 'order-o-1', rest: Partial<NewCommand> = {}): NewCommand {
  return {
    commandId: uuidIds.next(), context: 'orders', stream, command: { type: 'ShipOrder', orderId: 'o-1' } as NewCommand['command'],
    request: { principal: 'p', correlationId: 'c', at: '2026-02-03T04:05:06.000Z' }, ...rest,
  };
}

export function keyed(key: string, digest = 'd', principal = 'p'): Partial<NewCommand> {
  return { request: { principal, correlationId: 'c', at: '2026-02-03T04:05:06.000Z', idempotency: { key, digest } } };
}

export async function refusal(work: Promise<unknown>): Promise<string> {
  return work.then(() => 'nothing', (error: unknown) => {
    if (error instanceof Rejection) return error.code;
    throw error;
  });
}

const never = new AbortController().signal;
const inMs = (ms: number) => new Date(Date.now() + ms).toISOString();
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** What every CommandQueue promises. `another`: the same queue, seen from another process. */
export function commandQueueContract(adapter: string, open: (limit: number) => Promise<{ queue: CommandQueue; another: () => CommandQueue; close: () => Promise<void> }>) {
  describe(`CommandQueue contract: ${adapter}`, function () {
    this.timeout(60_000);
    let queue: CommandQueue;
    let another: () => CommandQueue;
    let close: () => Promise<void>;
    const opened = async (limit: number) => { ({ queue, another, close } = await open(limit)); };
    beforeEach(() => opened(20_000));
    afterEach(() => close());

    const lease = (limit = 10, leaseMs = 5_000, from: CommandQueue = queue) => from.lease({ limit, leaseMs, waitMs: 0 }, never);
    const ids = (leases: readonly Lease[]) => leases.map(({ command }) => command.commandId).sort();
    async function accept(...commands: NewCommand[]) {
      for (const command of commands) await queue.enqueue(command);
      return commands;
    }

    it('keeps a command as it was handed in', async () => {
      const command = newCommand('s', {
        command: { type: 'CancelOrder', orderId: 'o', reason: 'Ä "quoted" \\ 😀 \u0001' } as NewCommand['command'], seen: { tokens: [{ context: 'customers', position: 3, partition: 1 }], waitMs: 5_000 },
        request: { principal: 'bob', correlationId: 'x', at: '2026-01-01T00:00:00.000Z', traceparent: 't', onlyCustomer: 'ada', idempotency: { key: 'k', digest: 'd' }, expectedVersion: 4 },
        deadline: inMs(60_000),
      });
      const kept = await queue.enqueue(command);
      expect(kept).to.deep.equal({ ...command, status: 'accepted', attempts: 0 });
      expect(await another().find(command.commandId)).to.deep.equal(kept);
      expect(await another().find({ principal: 'bob', key: 'k' })).to.deep.equal(kept);
      for (const name of [{ principal: 'bob', key: 'another' }, { principal: 'p', key: 'k' }]) expect(await queue.find(name)).to.equal(undefined);
      expect(await queue.find(uuidIds.next())).to.equal(undefined);
      const [leased] = await lease();
      expect(leased).to.deep.equal({ command, fence: 1, attempt: 1 });
      (leased!.command.command as { type: string }).type = 'changed';
      expect((await queue.find(command.commandId))?.command.type).to.equal('CancelOrder');
    });

    it('tells how a command went: accepted, running, and its end', async () => {
      const [command] = await accept(newCommand()) as [NewCommand];
      const [leased] = await lease();
      const running = await queue.find(command.commandId);
      expect(running).to.include({ status: 'running', attempts: 1 }).and.not.have.any.keys('end', 'finishedAt');
      expect(Date.now() - Date.parse(running!.startedAt!)).to.be.within(-1_000, 5_000);
      expect(await queue.finish(leased!, refused)).to.equal(true);
      const ended = await another().find(command.commandId);
      expect(ended).to.deep.include({ status: 'refused', end: refused, startedAt: running!.startedAt });
      expect(ended!.finishedAt! >= ended!.startedAt!).to.equal(true);
      expect(await lease()).to.deep.equal([]);
    });

    it('gives out the oldest unfinished command of a stream only, and those of different streams side by side', async () => {
      const [a1, a2, b1, a3, c1] = await accept(newCommand('a'), newCommand('a'), newCommand('b'), newCommand('a'), newCommand('c'));
      const first = await lease();
      expect(ids(first)).to.deep.equal([a1, b1, c1].map((command) => command!.commandId).sort());
      expect(await lease()).to.deep.equal([]);
      await queue.finish(first.find(({ command }) => command.stream === 'a')!, done);
      const [second, ...rest] = await lease();
      expect([second?.command.commandId, rest]).to.deep.equal([a2!.commandId, []]);
      await queue.finish(second!, refused);
      expect(ids(await lease())).to.deep.equal([a3!.commandId]);
    });

    it('gives no command to two workers, and at most as many as they want', async () => {
      await Promise.all(Array.from({ length: 50 }, (_, n) => queue.enqueue(newCommand(`s-${n}`))));
      expect(await lease(3)).to.have.length(3);
      const leased = await Promise.all(Array.from({ length: 20 }, (_, n) => lease(5, 5_000, n % 2 === 0 ? queue : another())));
      const all = leased.flat().map(({ command }) => command.commandId);
      expect(new Set(all).size).to.equal(all.length);
      for (let more = await lease(); more.length > 0; more = await lease()) all.push(...ids(more));
      expect(all).to.have.length(47);
    });

    it('leases anew what was not renewed in time, and refuses the word of the one who lost it', async () => {
      const [command] = await accept(newCommand('s'), newCommand('s')) as [NewCommand];
      const [zombie] = await lease(1, 60);
      expect(await lease()).to.deep.equal([]);
      await sleep(80);
      const [heir] = await lease(10, 5_000, another());
      expect(heir).to.deep.include({ command, attempt: 2 });
      expect(heir!.fence).to.be.greaterThan(zombie!.fence);
      expect(await queue.renew([zombie!, heir!], 5_000), 'one is not the other').to.deep.equal([false, true]);
      expect(await queue.finish(zombie!, refused)).to.equal(false);
      expect((await queue.find(command.commandId))?.status).to.equal('running');
      expect(await queue.finish(heir!, done)).to.equal(true);
      expect(await queue.finish(zombie!, refused)).to.equal(false);
      expect((await queue.find(command.commandId))?.end).to.deep.equal(done);
    });

    it('keeps a lease that is renewed', async () => {
      await accept(newCommand('s'));
      const [held] = await lease(1, 100);
      for (let n = 0; n < 4; n++) {
        await sleep(50);
        expect(await queue.renew([held!], 100)).to.deep.equal([true]);
        expect(await lease()).to.deep.equal([]);
      }
      await queue.finish(held!, done);
      expect(await queue.renew([held!], 100)).to.deep.equal([false]);
    });

    it('takes the same end twice, for an answer can be lost; the first one stays', async () => {
      const [command] = await accept(newCommand('s')) as [NewCommand];
      const [held] = await lease();
      expect([await queue.finish(held!, done), await queue.finish(held!, refused)]).to.deep.equal([true, true]);
      expect((await queue.find(command.commandId))?.end).to.deep.equal(done);
      expect(await queue.finish({ ...held!, command: { commandId: uuidIds.next() } }, done)).to.equal(false);
    });

    it('cancels a command that was not begun, and lets the next one of its stream go first', async () => {
      const [first, second, third] = await accept(newCommand('s'), newCommand('s'), newCommand('s')) as [NewCommand, NewCommand, NewCommand];
      expect(await queue.cancel(first.commandId)).to.deep.include({ status: 'cancelled', end: { status: 'cancelled' }, attempts: 0 });
      expect((await queue.cancel(first.commandId))?.status).to.equal('cancelled');
      const [held] = await lease();
      expect(held?.command.commandId).to.equal(second.commandId);
      expect((await another().cancel(second.commandId))?.status).to.equal('running');
      expect((await queue.cancel(third.commandId))?.status).to.equal('cancelled');
      await queue.finish(held!, done);
      expect((await queue.cancel(second.commandId))?.status).to.equal('succeeded');
      expect(await queue.cancel(uuidIds.next())).to.equal(undefined);
      expect(await lease()).to.deep.equal([]);
    });

    it('lets a command that was not begun by its deadline expire, and never gives it out', async () => {
      const [late, behind, , waiting] = await accept(newCommand('s', { deadline: inMs(600) }), newCommand('s'), newCommand('t'), newCommand('t', { deadline: inMs(600) })) as [NewCommand, NewCommand, NewCommand, NewCommand];
      const [held] = (await lease(10, 5_000)).filter(({ command }) => command.stream === 't');
      // Begun in time, its deadline no longer matters.
      await sleep(650);
      expect((await queue.find(late.commandId))?.status).to.equal('running');
      expect(await queue.find(waiting.commandId)).to.deep.include({ status: 'expired', end: { status: 'expired' } });
      expect((await queue.cancel(waiting.commandId))?.status).to.equal('expired');
      await queue.finish(held!, done);
      expect(await queue.lease({ limit: 10, leaseMs: 5_000, waitMs: 30 }, never)).to.deep.equal([]);
      expect(await queue.find(waiting.commandId)).to.include({ status: 'expired', attempts: 0 });
      expect((await queue.list({ statuses: ['expired'], limit: 10 })).map(({ commandId }) => commandId)).to.deep.equal([waiting.commandId]);
      expect((await queue.find(behind.commandId))?.status).to.equal('accepted');
      expect(await queue.depth()).to.equal(2);
    });

    it('leases anew what was begun before its deadline, whenever that was', async () => {
      await accept(newCommand('s', { deadline: inMs(600) }));
      await lease(1, 20);
      await sleep(650);
      const [again] = await lease();
      expect(again?.attempt).to.equal(2);
    });

    it('is full at its limit, and has room again when a command ends', async () => {
      await close();
      await opened(3);
      await accept(newCommand('a'), newCommand('a'), newCommand('b', keyed('k')));
      expect(await queue.depth()).to.equal(3);
      const more = newCommand('c');
      expect(await refusal(queue.enqueue(more))).to.equal('queue.full');
      expect(await queue.find(more.commandId)).to.equal(undefined);
      expect((await queue.enqueue(newCommand('b', keyed('k')))).status).to.equal('accepted');
      const [held] = await lease();
      expect(await refusal(queue.enqueue(more))).to.equal('queue.full');
      await queue.finish(held!, done);
      expect((await queue.enqueue(more)).status).to.equal('accepted');
    });

    it('answers a command under a key that was used with the first one, whatever became of it', async () => {
      const first = newCommand('s', keyed('k'));
      await accept(first);
      const again = () => queue.enqueue(newCommand('another', keyed('k')));
      expect((await again()).commandId).to.equal(first.commandId);
      const [held] = await lease();
      await queue.finish(held!, done);
      expect(await again()).to.deep.include({ commandId: first.commandId, end: done });
      expect(await refusal(queue.enqueue(newCommand('s', keyed('k', 'other'))))).to.equal('idempotency.key-reused');
      expect((await queue.enqueue(newCommand('s', keyed('k', 'd', 'bob')))).commandId).to.not.equal(first.commandId);
    });

    it('keeps one of many that come at once under a key, and one that is handed in again', async () => {
      const kept = await Promise.all(Array.from({ length: 10 }, (_, n) => (n % 2 === 0 ? queue : another()).enqueue(newCommand(`s-${n}`, keyed('k')))));
      expect(new Set(kept.map(({ commandId }) => commandId)).size).to.equal(1);
      const command = newCommand('t');
      await Promise.all([queue.enqueue(command), another().enqueue(command), queue.enqueue(command)]);
      expect(await queue.depth()).to.equal(2);
    });

    it('lists the newest first, by status', async () => {
      const accepted = await accept(newCommand('a'), newCommand('b'), newCommand('c'));
      const [held] = await lease(1);
      await queue.finish(held!, done);
      const list = async (limit: number, statuses?: readonly ('accepted' | 'running' | 'succeeded')[]) => (await queue.list({ limit, ...(statuses && { statuses }) })).map(({ commandId }) => commandId);
      const newest = accepted.map(({ commandId }) => commandId).reverse();
      expect(await list(10)).to.deep.equal(newest);
      expect(await list(2)).to.deep.equal(newest.slice(0, 2));
      expect(await list(10, ['accepted', 'running'])).to.deep.equal(newest.filter((id) => id !== held!.command.commandId));
      expect(await list(10, ['succeeded'])).to.deep.equal([held!.command.commandId]);
    });

    it('wakes a worker that waits, and lets it go when it stops', async () => {
      const waiting = queue.lease({ limit: 1, leaseMs: 5_000, waitMs: 10_000 }, never);
      await sleep(20);
      const began = performance.now();
      const [command] = await accept(newCommand('s'));
      expect(ids(await waiting)).to.deep.equal([command!.commandId]);
      const elsewhere = another().lease({ limit: 1, leaseMs: 5_000, waitMs: 10_000 }, never);
      await accept(newCommand('t'));
      expect(await elsewhere).to.have.length(1);
      expect(performance.now() - began).to.be.lessThan(2_000);
      const stop = new AbortController();
      setTimeout(() => { stop.abort(); }, 20);
      expect(await queue.lease({ limit: 1, leaseMs: 5_000, waitMs: 10_000 }, stop.signal)).to.deep.equal([]);
      expect(performance.now() - began).to.be.lessThan(3_000);
    });

    it('drains 10,000 commands of 100 streams with two workers, each stream in its order', async () => {
      const order = new Map<string, string[]>();
      const streams = Array.from({ length: 100 }, (_, n) => `s-${n}`);
      // One stream's commands one after the other: only then there is an order.
      await Promise.all(streams.map(async (stream) => {
        for (let n = 0; n < 100; n++) {
          const { commandId } = await queue.enqueue(newCommand(stream));
          order.set(stream, [...order.get(stream) ?? [], commandId]);
        }
      }));
      const finished = new Map<string, string[]>();
      const busy = new Set<string>();
      const drain = async (from: CommandQueue) => {
        for (let leases = await lease(32, 20_000, from); leases.length > 0; leases = await lease(32, 20_000, from)) {
          await Promise.all(leases.map(async (held) => {
            const { commandId, stream } = held.command;
            expect(busy.has(stream), 'one at a time').to.equal(false);
            busy.add(stream);
            finished.set(stream, [...finished.get(stream) ?? [], commandId]);
            busy.delete(stream);
            expect(await from.finish(held, done)).to.equal(true);
          }));
        }
      };
      const began = performance.now();
      await Promise.all([drain(queue), drain(another())]);
      while (await queue.depth() > 0) await drain(queue);
      expect(performance.now() - began).to.be.lessThan(40_000);
      for (const stream of streams) expect(finished.get(stream)).to.deep.equal(order.get(stream));
    });
  });
}
