import { expect } from 'chai';
import fc from 'fast-check';
import sinon from 'sinon';
import { createBehindLog } from '../../src/application/log/behind-log.js';
import { beginEpoch, supersedes } from '../../src/application/log/epoch.js';
import { eventCodec, upcasters } from '../../src/application/log/codec.js';
import { decideOrder, holdOrReleaseCredit } from '../../src/application/policies/index.js';
import { furthest } from '../../src/application/log/partition.js';
import type { Progress } from '../../src/application/ports/event-feed.js';
import { relayCheckpoint, runRelay, type RelayState } from '../../src/application/log/relay.js';
import { compareEnd } from '../../src/application/log/topic-check.js';
import { MemoryCheckpointStore } from '../../src/infrastructure/memory/memory-checkpoint-store.js';
import { MemoryEventStore } from '../../src/infrastructure/memory/memory-event-store.js';
import { MemoryLogSignal } from '../../src/infrastructure/memory/memory-log-signal.js';
import { uuidIds } from '../../src/infrastructure/process/uuid-ids.js';
import { checkTopic, TopicInMemory } from '../support/chain.js';
import { newEvent, partitions } from '../support/events.js';
import { eventually } from '../support/service.js';

const codec = eventCodec(upcasters);
const signal = new MemoryLogSignal();
const first = '0b8f5f64-5717-4562-b3fc-2c963f66afa6';

/** Orders of thirty customers, one event each; the same number is the same event. */
const eventOf = ((made: Map<string, ReturnType<typeof newEvent>>) => (n: number, of = '') => {
  const known = made.get(`${of}${n}`) ?? newEvent({ type: 'OrderApproved', orderId: `o-${n}`, customerId: `c-${n % 30}`, at: '2026-01-01T00:00:00.000Z' });
  made.set(`${of}${n}`, known);
  return known;
})(new Map());

async function logWith(count: number, { epoch = first, differentFrom = Infinity } = {}) {
  const store = new MemoryEventStore('orders', codec, signal, epoch);
  await grow(store, count, differentFrom);
  return store;
}
async function grow(store: MemoryEventStore<'orders'>, to: number, differentFrom = Infinity) {
  for (let n = (await store.head()).position + 1; n <= to; n++) await store.append({ stream: `order-${n}`, expectedVersion: 0, events: [eventOf(n, n >= differentFrom ? 'other ' : '')] });
}

/** Relays all of a log to a topic that nobody looks at. @returns what the relay has noted */
async function published(store: MemoryEventStore<'orders'>, checkpoints: MemoryCheckpointStore): Promise<Progress> {
  const stop = new AbortController();
  const { position } = await store.head();
  await runRelay('orders', { store, checkpoints, signal, publisher: new TopicInMemory(), codec, partitions }, stop.signal, (state) => { if (state.position === position) stop.abort(); });
  return checkpoints.load(relayCheckpoint);
}

describe('a topic that does not hold what was published', function () {
  this.timeout(20_000);
  let store: MemoryEventStore<'orders'>;
  let checkpoints: MemoryCheckpointStore;
  let topic: TopicInMemory;
  beforeEach(async () => {
    store = await logWith(100);
    checkpoints = new MemoryCheckpointStore();
    topic = new TopicInMemory();
  });

  const everything = async () => (await store.readLog({ after: 0, limit: Infinity })).events;
  /** Until everything is published, or it fails. */
  async function relay(): Promise<RelayState[]> {
    const stop = new AbortController();
    const states: RelayState[] = [];
    const { position } = await store.head();
    await runRelay('orders', { store, checkpoints, signal, publisher: topic, topic, codec, partitions }, stop.signal, (state) => {
      states.push(state);
      if (state.position === position && state.behindSince === null) stop.abort();
    });
    return states;
  }
  const expectWhole = async () => { checkTopic(topic.messages, await everything(), partitions); };

  for (const [what, left] of [['lost everything', 0], ['lost its tail', 63]] as const) {
    it(`because it ${what} is given what is missing, when the relay begins`, async () => {
      await relay();
      topic.messages.splice(left);
      const states = await relay();
      await expectWhole();
      expect(topic.messages, 'nothing else is published again').to.have.length(100);
      expect(states.some(({ behindSince }) => behindSince !== null), 'it is behind meanwhile').to.equal(true);
    });
  }

  it('is given what is missing, and what comes after it, however it was cut and wherever the relay stood', async () => {
    await fc.assert(fc.asyncProperty(fc.array(fc.record({ events: fc.nat(30), kept: fc.option(fc.nat(100)) }), { maxLength: 6 }), async (rounds) => {
      [store, checkpoints, topic] = [await logWith(0), new MemoryCheckpointStore(), new TopicInMemory()];
      for (const { events, kept } of rounds) {
        await grow(store, (await store.head()).position + events);
        await relay();
        if (kept !== null) topic.messages.splice(kept);
      }
      await relay();
      await expectWhole();
    }), { numRuns: 40 });
  });

  it('is given it while the relay runs, within its interval', async () => {
    const stop = new AbortController();
    const running = runRelay('orders', { store, checkpoints, signal, publisher: topic, topic, codec, partitions, checkEveryMs: 50 }, stop.signal);
    try {
      await eventually('everything is published', async () => topic.messages.length === 100);
      topic.messages.splice(40);
      await eventually('it is published again', async () => topic.messages.length === 100);
    } finally {
      stop.abort();
      await running;
    }
    await expectWhole();
  });

  for (const [why, restored] of [['is ahead of the log', 80], ['holds other events at the same positions', 120]] as const) {
    it(`because it ${why} is left alone, and said to be so; under a new epoch the whole log goes there`, async () => {
      await relay();
      const before = topic.messages.length;
      // An older backup, which keeps its epoch; the relay's checkpoint is as old.
      store = await logWith(restored, { differentFrom: 81 });
      checkpoints = new MemoryCheckpointStore();
      await published(await logWith(70), checkpoints);
      const error = await relay().catch((reason: unknown) => reason);
      expect(error).to.be.an('error').with.property('message').that.matches(/ends in orders\/\d+ with position \d+ .* is not in this log.*orderfold log new-epoch --context orders/);
      expect(topic.messages).to.have.length(before);
      const epoch = uuidIds.next();
      store = await logWith(restored, { epoch, differentFrom: 81 });
      await relay();
      checkTopic(topic.messages.slice(before), await everything(), partitions);
    });
  }

  it('is led on by a log whose epoch was given later, and by no other', () => {
    const [second, third] = ['019ac8e2-0000-7000-8000-000000000000', '019ac8e3-0000-7000-8000-000000000000'];
    expect([supersedes(second, first), supersedes(third, second), supersedes(third, first)]).to.deep.equal([true, true, true]);
    expect([supersedes(first, second), supersedes(second, third), supersedes(first, 'another'), supersedes(second, second)]).to.deep.equal([false, false, false, false]);
  });

  it('is whole where its end is an event of the log that nothing published comes after', () => {
    const end = { position: 7, id: 'e-7', epoch: first };
    const found = { metadata: { id: 'e-7' } } as never;
    const known = { epoch: first, published: 7, found };
    expect(compareEnd(end, known)).to.equal('whole');
    expect(compareEnd(end, { ...known, published: 5 }), 'published and not noted').to.equal('whole');
    expect(compareEnd(undefined, { ...known, published: 0 })).to.equal('whole');
    expect(compareEnd(end, { ...known, published: 9 })).to.deep.equal({ behind: 7 });
    expect(compareEnd(undefined, known)).to.deep.equal({ behind: 0 });
    expect(compareEnd(end, { ...known, epoch: uuidIds.next() }), 'of an older epoch').to.deep.equal({ behind: 0 });
    for (const foreign of [{ ...known, found: undefined }, { ...known, found: { metadata: { id: 'x' } } as never }, { ...known, epoch: 'x' }]) expect(compareEnd(end, foreign)).to.equal('foreign');
  });
});

describe('a view whose feed brings nothing more', () => {
  const late = Date.now() + 60_000;
  let now: number;
  const clock = { now: () => new Date(now) };

  it('is behind since an event that was published and did not come, until it does', async () => {
    const store = await logWith(40);
    const checkpoints = new MemoryCheckpointStore();
    const whole = await published(store, checkpoints);
    const behind = createBehindLog({ stores: { orders: store }, checkpoints: { orders: checkpoints }, partitions, clock, everyMs: 0 });
    const nothing = Object.fromEntries(Object.keys(whole).map((source) => [source, 0]));
    now = Date.now();
    expect(await behind(nothing), 'they are on their way').to.equal(null);
    now = late;
    const since = await behind(nothing);
    expect(since).to.be.a('string');
    await grow(store, 45);
    await published(store, checkpoints);
    expect(await behind(nothing), 'what comes later makes it no younger').to.equal(since);
    expect(await behind(furthest(nothing, await checkpoints.load(relayCheckpoint)))).to.equal(null);
    expect(await behind({}), 'other sources are others\' to tell').to.equal(null);
  });

  it('is behind since the first event that it lacks, however new the last one is', async () => {
    const time = sinon.useFakeTimers({ now: Date.now(), toFake: ['Date'] });
    try {
      const store = await logWith(40);
      time.tick(3_600_000);
      await grow(store, 80);
      const checkpoints = new MemoryCheckpointStore();
      const whole = await published(store, checkpoints);
      now = Date.now();
      const behind = createBehindLog({ stores: { orders: store }, checkpoints: { orders: checkpoints }, partitions, clock, everyMs: 0 });
      const [first] = (await store.readLog({ after: 0, limit: 1 })).events;
      expect(await behind(Object.fromEntries(Object.keys(whole).map((source) => [source, 0])))).to.equal(first?.recordedAt);
      expect(await behind(Object.fromEntries(Object.keys(whole).map((source) => [source, 40]))), 'what is left is on its way').to.equal(null);
    } finally {
      time.restore();
    }
  });

  it('is behind since an event that nobody publishes', async () => {
    const store = await logWith(40);
    const checkpoints = new MemoryCheckpointStore();
    const whole = await published(store, checkpoints);
    const behind = createBehindLog({ stores: { orders: store }, checkpoints: { orders: checkpoints }, partitions, clock, everyMs: 0 });
    now = late;
    expect(await behind(whole)).to.equal(null);
    await grow(store, 41);
    const [event] = (await store.readLog({ after: 40, limit: 1 })).events;
    expect(await behind(whole)).to.equal(event?.recordedAt);
  });

  it('knows nothing of a log that is not at hand, and keeps what it knew of one that is away', async () => {
    now = late;
    expect(await createBehindLog({ stores: {}, checkpoints: {}, partitions, clock, everyMs: 0 })({ 'orders/0': 0 })).to.equal(null);
    const store = await logWith(41);
    const checkpoints = new MemoryCheckpointStore();
    const stores = { orders: store };
    const behind = createBehindLog({ stores, checkpoints: { orders: checkpoints }, partitions, clock, everyMs: 0 });
    const since = await behind({ 'orders/0': 0 });
    expect(since).to.be.a('string');
    stores.orders = { head: () => Promise.reject(new Error('away')), readLog: () => Promise.reject(new Error('away')) } as never;
    expect(await behind({ 'orders/0': 0 })).to.equal(since);
  });
});

describe('a new epoch of a log', () => {
  const policies = [holdOrReleaseCredit, decideOrder];
  it('lets a policy go on behind the log\'s last event, where it had gone further, and the others as they were', async () => {
    const store = await logWith(40);
    const checkpoints = { customers: new MemoryCheckpointStore(), orders: new MemoryCheckpointStore() };
    await checkpoints.customers.save('hold-or-release-credit', { 'orders/1': 30, 'orders/2': 90 });
    await checkpoints.orders.save('decide-order', { 'customers/1': 70 });
    const given: string[] = [];
    expect(await beginEpoch('orders', 'new', { store, policies, checkpoints, give: (epoch) => { given.push(epoch); return Promise.resolve(); } })).to.equal(40);
    expect(given).to.deep.equal(['new']);
    expect(await checkpoints.customers.load('hold-or-release-credit')).to.deep.equal({ 'orders/1': 30, 'orders/2': 40 });
    expect(await checkpoints.orders.load('decide-order')).to.deep.equal({ 'customers/1': 70 });
  });

  it('is not given while a policy moves on', async () => {
    const checkpoints = { customers: new MemoryCheckpointStore(), orders: new MemoryCheckpointStore() };
    checkpoints.customers.advance = () => Promise.resolve(false);
    const error = await beginEpoch('orders', 'new', { store: await logWith(1), policies, checkpoints, give: () => Promise.reject(new Error('given')) }).catch((reason: unknown) => reason);
    expect(error).to.be.an('error').with.property('message').that.matches(/stop every process/);
  });
});
