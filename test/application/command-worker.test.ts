import { expect } from 'chai';
import sinon from 'sinon';
import { runCommandWorker } from '../../src/application/commands/command-worker.js';
import { createCustomerCommands } from '../../src/application/customers/customer-commands.js';
import { createExecute } from '../../src/application/commands/execute.js';
import type { CommandQueue, NewCommand } from '../../src/application/ports/command-queue.js';
import type { EventStore } from '../../src/application/ports/event-store.js';
import type { CustomerCommand } from '../../src/domain/customers/customer.js';
import { Rejection } from '../../src/domain/shared/rejection.js';
import { MemoryCommandQueue } from '../../src/infrastructure/memory/memory-command-queue.js';
import { uuidIds } from '../../src/infrastructure/process/uuid-ids.js';
import { clock, partitions, quiet } from '../support/events.js';
import { memoryApplication } from '../support/memory-application.js';

const register: CustomerCommand = { type: 'RegisterCustomer', customerId: 'ada', name: 'Ada', currency: 'EUR', creditLimitMinor: null };
const suspend: CustomerCommand = { type: 'SuspendCustomer', customerId: 'ada', reason: 'late' };
const limit = (creditLimitMinor: number): CustomerCommand => ({ type: 'SetCreditLimit', customerId: 'ada', creditLimitMinor });
const at = '2026-02-03T04:05:06.000Z';
const pace = { retryMs: 1, leaseMs: 5_000, putOffMs: 1 };

function queued(command: CustomerCommand, rest: Partial<NewCommand> = {}): NewCommand {
  return { commandId: uuidIds.next(), context: 'customers', stream: `customer-${command.customerId}`, command, request: { principal: 'bob', correlationId: 'c', at }, ...rest };
}

describe('the command worker', () => {
  let app: ReturnType<typeof memoryApplication>;
  let queue: MemoryCommandQueue;
  beforeEach(() => {
    app = memoryApplication();
    queue = new MemoryCommandQueue(10_000);
  });
  afterEach(() => { sinon.restore(); });

  type Parts = Partial<Parameters<typeof runCommandWorker>[0]>;
  const worker = (stop: AbortSignal, parts: Parts = {}, own: Parameters<typeof runCommandWorker>[2] = {}) => runCommandWorker({
    queue, store: app.stores.customers, handle: (command, request) => app.customers(command as CustomerCommand, request), clock, logger: quiet, ...parts,
  }, stop, { ...pace, ...own });

  /** Runs a worker until nothing is left to do. */
  async function drain(parts?: Parts, own?: Parameters<typeof runCommandWorker>[2]): Promise<void> {
    const stop = new AbortController();
    const running = worker(stop.signal, parts, own);
    await until(async () => await queue.depth() === 0);
    stop.abort();
    await running;
  }
  async function until(condition: () => Promise<boolean>) {
    for (const deadline = Date.now() + 5_000; !await condition();) {
      if (Date.now() > deadline) throw new Error('it did not happen');
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }
  const accept = async (...commands: NewCommand[]) => {
    for (const command of commands) await queue.enqueue(command);
    return commands.map(({ commandId }) => commandId);
  };
  const end = async (commandId: string | undefined) => (await queue.find(commandId ?? ''))?.end;
  const events = async () => (await app.stores.customers.readStream('customer-ada')).map(({ data }) => data.type);

  it('does a command as the caller would have, and keeps what it led to', async () => {
    const [commandId] = await accept(queued(register));
    await drain();
    expect(await end(commandId)).to.deep.equal({ status: 'succeeded', body: '{"id":"ada","version":1,"position":1,"events":["CustomerRegistered"]}', id: 'ada', version: 1, token: 'customers:1:2' });
    const [event] = await app.stores.customers.readStream('customer-ada');
    expect(event?.metadata).to.include({ principal: 'bob', correlationId: 'c', causationId: null, commandId });
    expect(event?.data.at).to.equal(at);
  });

  it('keeps why a command was refused, and goes on with the next one of its stream', async () => {
    const [first, second] = await accept(queued(suspend), queued(register));
    await drain();
    expect(await end(first)).to.deep.include({ status: 'refused', code: 'customer.unknown' });
    expect(await end(second)).to.include({ status: 'succeeded' });
  });

  it('keeps to the conditions of the request', async () => {
    const request = { principal: 'bob', correlationId: 'c', at };
    const [, version, owner, right] = await accept(
      queued(register), queued(suspend, { request: { ...request, expectedVersion: 7 } }), queued(suspend, { request: { ...request, onlyCustomer: 'eve' } }), queued(suspend, { request: { ...request, expectedVersion: 1, onlyCustomer: 'ada' } }),
    );
    await drain();
    expect(await end(version)).to.deep.include({ status: 'refused', code: 'stream.version-differs' });
    expect(await end(owner)).to.deep.include({ status: 'refused', code: 'customer.unknown' });
    expect(await end(right)).to.include({ status: 'succeeded' });
  });

  it('does once what was also asked for directly, under the same key', async () => {
    const idempotency = { key: 'k', digest: 'd' };
    const direct = await app.customers(register, { principal: 'bob', correlationId: 'x', causationId: null, at: new Date(at), idempotency });
    const [commandId] = await accept(queued(register, { request: { principal: 'bob', correlationId: 'c', at, idempotency } }));
    await drain();
    expect(await end(commandId)).to.include({ status: 'succeeded', body: direct.body });
    expect(await events()).to.deep.equal(['CustomerRegistered']);
  });

  it('does the commands of a stream in order and those of many streams side by side', async () => {
    await accept(queued(register), ...Array.from({ length: 50 }, (_, n) => queued(limit(n))));
    await accept(...Array.from({ length: 20 }, (_, n) => queued({ ...register, customerId: `c-${n}` })));
    let [now, most] = [0, 0];
    const handle = async (command: object, request: Parameters<typeof app.customers>[1]) => {
      most = Math.max(most, ++now);
      await new Promise((resolve) => setTimeout(resolve, 1));
      try {
        return await app.customers(command as CustomerCommand, request);
      } finally {
        now--;
      }
    };
    await Promise.all([drain({ handle }), drain({ handle })]);
    const stream = await app.stores.customers.readStream('customer-ada');
    expect(stream.slice(1).map(({ data }) => (data as { creditLimitMinor: number }).creditLimitMinor)).to.deep.equal(Array.from({ length: 50 }, (_, n) => n));
    expect(most).to.be.greaterThan(5);
  });

  for (const code of ['log.unavailable', 'view.unavailable', 'view.behind', 'stream.conflict', 'idempotency.in-progress'] as const) {
    it(`tries again while it is told ${code}`, async () => {
      const [commandId] = await accept(queued(register));
      const handle = sinon.stub<Parameters<typeof app.customers>, ReturnType<typeof app.customers>>().callsFake(app.customers);
      for (let n = 0; n < 3; n++) handle.onCall(n).rejects(new Rejection(code));
      await drain({ handle: (command, request) => handle(command as CustomerCommand, request) });
      expect(await end(commandId)).to.include({ status: 'succeeded' });
      expect(handle.callCount).to.equal(4);
    });
  }

  it('puts commands off whose view is behind, so that others have their turn, and gives them up after some attempts', async () => {
    const behind = await accept(...Array.from({ length: 5 }, (_, n) => queued({ ...register, customerId: `behind-${n}` }, { seen: { tokens: [{ context: 'customers', position: 9, partition: 0 }], waitMs: 30_000 } })));
    const [other] = await accept(queued(register));
    const waited: (number | undefined)[] = [];
    let catchesUp = false;
    const stop = new AbortController();
    const running = worker(stop.signal, {
      async handle(command, request, seen) {
        const { customerId } = command as CustomerCommand;
        if (customerId === 'ada') return app.customers(command as CustomerCommand, request);
        waited.push(seen?.waitMs);
        if (customerId === 'behind-4' && catchesUp) return app.customers(command as CustomerCommand, request);
        throw new Rejection('view.behind');
      },
    }, { concurrency: 2 });
    try {
      await until(async () => (await queue.find(other!))?.status === 'succeeded');
      catchesUp = true;
      await until(async () => await queue.depth() === 0);
    } finally {
      stop.abort();
      await running;
    }
    expect((await Promise.all(behind.map(end))).map((one) => one?.status)).to.deep.equal(['failed', 'failed', 'failed', 'failed', 'succeeded']);
    expect(await end(behind[0])).to.deep.equal({ status: 'failed', error: 'view.behind', code: 'view.behind' });
    expect((await queue.find(behind[0]!))?.attempts).to.equal(20);
    expect(Math.max(...waited.map((ms) => ms ?? Infinity))).to.be.at.most(1_000);
  });

  it('lets a command expire that could not be begun by its deadline', async () => {
    const [commandId] = await accept(queued(register, { deadline: new Date(Date.now() + 30).toISOString() }));
    await drain({ handle: () => Promise.reject(new Rejection('view.behind')) });
    expect(await end(commandId)).to.deep.equal({ status: 'expired' });
  });

  it('brings to its end what may have been done already, whatever its deadline says', async () => {
    const [commandId] = await accept(queued(register, { deadline: new Date(Date.now() + 30).toISOString() }));
    let calls = 0;
    await drain({
      async handle(command, request) {
        const outcome = await app.customers(command as CustomerCommand, request);
        if (++calls < 8) throw new Rejection('log.unavailable', { outcome: 'unknown' });
        return outcome;
      },
    });
    expect(await end(commandId)).to.include({ status: 'succeeded' });
    expect(await events()).to.deep.equal(['CustomerRegistered']);
  });

  it('gives a command up after a while, unless it was done after all', async () => {
    const [never, once] = await accept(queued({ ...register, customerId: 'bob' }), queued(register));
    await drain({
      async handle(command, request) {
        if ((command as CustomerCommand).customerId === 'ada') await app.customers(command as CustomerCommand, request);
        throw new Rejection('view.unavailable');
      },
    }, { patienceMs: 20 });
    expect(await end(never)).to.deep.equal({ status: 'failed', error: 'view.unavailable', code: 'view.unavailable' });
    expect(await end(once)).to.include({ status: 'succeeded', token: 'customers:1:2' });
  });

  it('gives a command up that fails for no reason of the outside, after a few attempts', async () => {
    const [commandId, next] = await accept(queued(register), queued(register));
    const broken = sinon.stub().callsFake(app.customers);
    for (let n = 0; n < 3; n++) broken.onCall(n).rejects(new TypeError('x is not a function'));
    await drain({ handle: broken });
    expect(await end(commandId)).to.deep.equal({ status: 'failed', error: 'x is not a function' });
    expect(await end(next)).to.include({ status: 'succeeded' });
  });

  it('gives a command up that takes its worker down each time', async () => {
    const [commandId] = await accept(queued(register));
    for (let n = 0; n < 20; n++) {
      await queue.lease({ limit: 1, leaseMs: 1, waitMs: 0 }, new AbortController().signal);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    await drain();
    expect(await end(commandId)).to.deep.equal({ status: 'failed', error: 'it was begun 21 times and never came to its end' });
    expect(await events()).to.deep.equal([]);
  });

  it('holds on to its lease for as long as a command takes', async () => {
    await accept(queued(register));
    const stop = new AbortController();
    let begun = 0;
    const slow: Parts = {
      async handle(command, request) {
        begun++;
        await new Promise((resolve) => setTimeout(resolve, 1_200));
        return app.customers(command as CustomerCommand, request);
      },
    };
    await Promise.all([drain(slow, { leaseMs: 500 }), drain(slow, { leaseMs: 500 })]);
    stop.abort();
    expect(begun).to.equal(1);
  });

  it('stores nothing once it has lost its lease', async () => {
    const [commandId] = await accept(queued(suspend));
    const stop = new AbortController();
    // A worker that stands still, as a stopped process does: no heartbeat, and its command is refused by its heir meanwhile.
    const stands = { ...forwarding(queue), renew: () => Promise.reject(new Error('standing still')) };
    let wakeUp: () => void = () => undefined;
    const zombie = worker(stop.signal, {
      queue: stands,
      async handle(command, request) {
        await new Promise<void>((resolve) => { wakeUp = resolve; });
        return app.customers(command as CustomerCommand, request);
      },
    }, { leaseMs: 40, concurrency: 1 });
    await until(async () => (await queue.find(commandId!))?.status === 'running');
    await new Promise((resolve) => setTimeout(resolve, 60));
    await drain();
    expect(await end(commandId)).to.include({ status: 'refused' });
    await accept(queued(register));
    await drain();
    wakeUp();
    stop.abort();
    await zombie;
    expect(await events()).to.deep.equal(['CustomerRegistered']);
  });

  it('has lost a lease for good, also where its heir is in the same process', async () => {
    await accept(queued(register));
    const stop = new AbortController();
    const rights: (() => boolean)[] = [];
    const ways: (() => void)[] = [];
    let [away, renewed] = [true, 0];
    const running = worker(stop.signal, {
      queue: {
        ...forwarding(queue),
        async renew(leases, ms) {
          if (away) throw new Rejection('log.unavailable');
          const kept = await queue.renew(leases, ms);
          renewed++;
          return kept;
        },
      },
      async handle(command, request) {
        rights.push(() => request.mayAppend?.() !== false);
        if (ways.length < 2) await new Promise<void>((resolve) => { ways.push(resolve); });
        return app.customers(command as CustomerCommand, request);
      },
    }, { leaseMs: 300, concurrency: 2 });
    try {
      await until(async () => rights.length === 2);
      away = false;
      await until(async () => renewed >= 2);
      expect(rights[0]!()).to.equal(false);
      for (const goOn of ways) goOn();
      await until(async () => await queue.depth() === 0);
    } finally {
      stop.abort();
      for (const goOn of ways) goOn();
      await running;
    }
    expect(await events()).to.deep.equal(['CustomerRegistered']);
  });

  it('waits while the queue is away, and loses nothing', async () => {
    const [commandId] = await accept(queued(register));
    const calls = { lease: 0, finish: 0 };
    const away = () => Promise.reject(new Rejection('log.unavailable'));
    await drain({
      queue: {
        ...forwarding(queue),
        lease: (wanted, stop) => (calls.lease++ < 3 ? away() : queue.lease(wanted, stop)),
        finish: (lease, how) => (calls.finish++ < 3 ? away() : queue.finish(lease, how)),
      },
    });
    expect(await end(commandId)).to.include({ status: 'succeeded' });
    expect(calls).to.deep.equal({ lease: calls.lease, finish: 4 });
  });

  it('ends what it has begun before it stops', async () => {
    const [commandId] = await accept(queued(register));
    const stop = new AbortController();
    await worker(stop.signal, {
      async handle(command, request) {
        stop.abort();
        await new Promise((resolve) => setTimeout(resolve, 20));
        return app.customers(command as CustomerCommand, request);
      },
    });
    expect(await end(commandId)).to.include({ status: 'succeeded' });
  });

  for (const when of ['before', 'after'] as const) {
    it(`may die anywhere: ${when} any of its calls, each command is done once, in order, and ends as it went`, async function () {
      this.timeout(60_000);
      let crashes = 0;
      for (let step = 1, alive = false; !alive; step++) {
        app = memoryApplication();
        queue = new MemoryCommandQueue(100);
        const ids = await accept(queued(suspend), queued(register), queued(suspend), queued(suspend), queued(limit(5), { request: { principal: 'bob', correlationId: 'c', at, idempotency: { key: 'k', digest: 'd' } } }));
        const dying = new AbortController();
        const life = mortal(step, when, () => { dying.abort(); });
        // The process' own log: its cache dies with it.
        const log = life.wrap<EventStore<'customers'>>(app.stores.customers, ['append', 'readStream', 'findResult', 'readLog', 'head']);
        const execute = createExecute({ stores: { ...app.stores, customers: log }, snapshots: app.snapshots, ids: uuidIds, logger: quiet, partitions });
        const commands = createCustomerCommands(execute);
        const mine = life.wrap<CommandQueue>(queue, ['lease', 'renew', 'finish', 'enqueue', 'find', 'list', 'cancel', 'depth']);
        const running = worker(dying.signal, { queue: mine, store: log, handle: (command, request) => commands(command as CustomerCommand, request) }, { leaseMs: 30 });
        void until(async () => await queue.depth() === 0).then(() => { dying.abort(); }, () => undefined);
        await running;
        alive = !life.died();
        if (!alive) crashes++;
        const { customers } = app.process();
        await drain({ handle: (command, request) => customers(command as CustomerCommand, request) });
        expect(await events(), `step ${step}`).to.deep.equal(['CustomerRegistered', 'CustomerSuspended', 'CreditLimitSet']);
        const ends = await Promise.all(ids.map(end));
        expect(ends.map((one) => [one?.status, one?.status === 'succeeded' ? one.body : one?.status === 'refused' && one.code]), `step ${step}`).to.deep.equal([
          ['refused', 'customer.unknown'],
          ['succeeded', '{"id":"ada","version":1,"position":1,"events":["CustomerRegistered"]}'],
          ['succeeded', '{"id":"ada","version":2,"position":2,"events":["CustomerSuspended"]}'],
          ['succeeded', '{"id":"ada","version":2,"position":2,"events":[]}'],
          ['succeeded', '{"id":"ada","version":3,"position":3,"events":["CreditLimitSet"]}'],
        ]);
      }
      expect(crashes).to.be.greaterThan(15);
    });
  }
});

function forwarding(queue: CommandQueue): Pick<CommandQueue, 'lease' | 'renew' | 'finish'> {
  return { lease: (wanted, stop) => queue.lease(wanted, stop), renew: (leases, ms) => queue.renew(leases, ms), finish: (lease, how) => queue.finish(lease, how) };
}

/** A process that dies at its `step`th call, before or after the call takes effect: from then on nothing that it does has any. */
function mortal(step: number, when: 'before' | 'after', onDeath: () => void) {
  let calls = 0;
  let dead = false;
  const die = () => {
    dead = true;
    onDeath();
    throw new Error('the process is dead');
  };
  return {
    died: () => dead,
    wrap<T extends object>(port: T, methods: readonly (keyof T)[]): T {
      const through = (method: keyof T) => async (...args: unknown[]) => {
        if (dead) die();
        const mine = ++calls === step;
        if (mine && when === 'before') die();
        const result = await (port[method] as (...given: unknown[]) => Promise<unknown>).call(port, ...args);
        if (mine || dead) die();
        return result;
      };
      return Object.fromEntries(methods.map((method) => [method, through(method)])) as T;
    },
  };
}
