import { expect } from 'chai';
import sinon, { type SinonFakeTimers } from 'sinon';
import type { ChainedEvent } from '../../src/application/log/message.js';
import type { FeedBatch, FeedEvent, Source } from '../../src/application/ports/event-feed.js';
import { BatchDelivery, batchSize } from '../../src/infrastructure/kafka/events/batch-delivery.js';
import { FeedProgress } from '../../src/infrastructure/kafka/events/feed-progress.js';
import { HeldPartitions, stuckAfterMs } from '../../src/infrastructure/kafka/events/held-partitions.js';
import { LogEpochs } from '../../src/infrastructure/kafka/events/log-epochs.js';

const [one, two]: [Source, Source] = ['orders/1', 'orders/2'];
const once = () => Promise.resolve();

describe('the progress of a feed', () => {
  it('is what the subscriber says, or what was delivered to it since', async () => {
    let stored = { [one]: 5, [two]: 5 };
    const progress = new FeedProgress({ reached: () => Promise.resolve(stored) });
    await progress.known();
    progress.reached(one, 8);
    stored = { [one]: 6, [two]: 9 };
    await progress.known();
    expect(progress.of([one, two]), 'it is asked once').to.deep.equal({ [one]: 8, [two]: 5 });
    progress.begin();
    await progress.known();
    expect(progress.of([one, two, 'orders/3'])).to.deep.equal({ [one]: 8, [two]: 9, 'orders/3': 0 });
  });

  it('is as far behind as its slowest partition', () => {
    const progress = new FeedProgress({ reached: () => Promise.resolve({}) });
    progress.isBehind(one, 't-5');
    progress.waits(two, 't-3');
    progress.waits(two, 't-4');
    expect(progress.behindSince([])).to.equal('t-3');
    expect(progress.behindSince(['t-2'])).to.equal('t-2');
    progress.isBehind(two, null);
    expect(progress.behindSince([])).to.equal('t-5');
    progress.begin();
    expect(progress.behindSince([])).to.equal(null);
  });
});

describe('the partitions that a member holds', () => {
  let time: SinonFakeTimers;
  beforeEach(() => { time = sinon.useFakeTimers({ toFake: ['performance'] }); });
  afterEach(() => { time.restore(); });

  it('are fetched once every broker was asked twice, and for as long as it goes on', () => {
    const held = new HeldPartitions();
    expect(held.areFetched()).to.equal(false);
    held.begin([one]);
    for (const broker of [1, 2, 1]) held.fetched(broker);
    expect(held.areFetched(), 'one broker was asked once').to.equal(false);
    held.fetched(2);
    expect(held.areFetched()).to.equal(true);
    time.tick(1_001);
    expect(held.areFetched()).to.equal(false);
    held.fetched(1);
    held.begin([one]);
    expect(held.areFetched(), 'they were given out anew').to.equal(false);
  });

  it('are not joined by one that was given to another member, whose batch ends later', () => {
    const held = new HeldPartitions();
    held.begin([one, two]);
    held.begin([two]);
    held.moved(one, 7n);
    held.waits(one);
    expect(held.sources).to.deep.equal([two]);
  });

  it('are stuck when they do not move although there is more, and nobody lets them wait', () => {
    const held = new HeldPartitions();
    held.begin([one, two]);
    held.moved(one, 7n);
    expect(held.isStuck(one, 8n, 0n)).to.equal(false);
    time.tick(stuckAfterMs + 1);
    expect([...held.still()]).to.deep.equal([one, two]);
    expect([held.isStuck(one, 8n, 0n), held.isStuck(one, 7n, 0n)]).to.deep.equal([true, false]);
    expect([held.isStuck(two, 8n, 7n), held.isStuck(two, 8n, 8n)], 'it has not moved since it was committed').to.deep.equal([true, false]);
    expect(held.isStuck('orders/3', 8n, 0n), 'it is not ours').to.equal(false);
    held.waits(one);
    expect([...held.still()]).to.deep.equal([two]);
    expect(held.isStuck(one, 8n, 0n)).to.equal(false);
  });
});

describe('the logs that a feed reads', () => {
  const first = '0b8f5f64-5717-4562-b3fc-2c963f66afa6';
  const [second, third] = ['019ac8e2-0000-7000-8000-000000000000', '019ac8e3-0000-7000-8000-000000000000'];
  const of = (epoch: string) => ({ epoch, event: { context: 'orders' } }) as ChainedEvent;

  it('are those at hand; otherwise the newest that was met, or that the subscriber knows', async () => {
    const subscription = { contexts: ['orders', 'customers'] as const, epochs: () => ({ orders: first, customers: second }) };
    const epochs = new LogEpochs({ orders: third, customers: first });
    await epochs.learn(subscription, {});
    expect(epochs.known).to.deep.equal({ orders: third, customers: second });
    await epochs.learn(subscription, { orders: { head: () => Promise.resolve({ position: 0, epoch: first }) } as never });
    expect(epochs.known).to.deep.equal({ orders: first, customers: second });
  });

  it('are not mixed: an older one is passed over, a newer one is read anew, an unrelated one is refused', () => {
    const newest = {};
    const epochs = new LogEpochs(newest);
    expect(epochs.includes(of(second), 'here'), 'nothing else is known').to.equal(true);
    expect(epochs.includes(of(first), 'here')).to.equal(false);
    expect(() => epochs.includes(of(third), 'here')).to.throw('here begins a new epoch of orders');
    expect(newest).to.deep.equal({ orders: third });
    const random = new LogEpochs({});
    random.includes(of(first), 'here');
    expect(() => random.includes(of('another'), 'here')).to.throw('here begins another log of orders');
  });
});

describe('the batches of a feed', () => {
  function delivering(onBatch: (batch: FeedBatch) => Promise<void> = once) {
    const batches: FeedBatch[] = [];
    const errors: unknown[] = [];
    const progress = new FeedProgress({ reached: () => Promise.resolve({}) });
    const delivery = new BatchDelivery({
      progress, held: { sources: [one, two] }, epochs: { known: { orders: 'x' } }, stop: new AbortController().signal,
      subscription: { onBatch: (batch) => { batches.push(batch); return onBatch(batch); } },
      ended: () => errors.length > 0, fail: (error) => { errors.push(error); },
    });
    return { delivery, progress, batches, errors };
  }
  const timeOf = (position: number) => new Date(position).toISOString();
  const fed = (source: Source, position: number) => ({ source, event: { position, recordedAt: timeOf(position) } }) as FeedEvent;
  const arrived = (source: Source, positions: number[], behindSince: string | null = null) => ({
    source, reached: positions.at(-1) ?? 0, behindSince, events: positions.map((position) => fed(source, position)),
  });
  const many = (first: number, count: number) => Array.from({ length: count }, (_, n) => first + n);

  it('hold what several partitions brought in the same moment, and speak of all of them', async () => {
    const { delivery, batches, progress } = delivering();
    await Promise.all([delivery.deliver(arrived(one, [1, 3], timeOf(3)), once), delivery.deliver(arrived(two, [2]), once)]);
    await delivery.deliver(arrived(one, [4]), once);
    expect(batches.map(({ events }) => events.map(({ event }) => event.position))).to.deep.equal([[1, 3, 2], [4]]);
    expect(batches.map((batch) => batch.progress)).to.deep.equal([{ [one]: 3, [two]: 2 }, { [one]: 4, [two]: 2 }]);
    expect(batches.map(({ behindSince }) => behindSince)).to.deep.equal([timeOf(3), null]);
    expect(progress.position(one)).to.equal(4);
  });

  it('are no bigger than a subscriber takes, but no smaller than what one partition brought', async () => {
    const { delivery, batches } = delivering();
    const all = [many(1, 3), many(4, batchSize), many(batchSize + 4, batchSize + 1), [2 * batchSize + 5]];
    await Promise.all(all.map((positions, n) => delivery.deliver(arrived(n % 2 === 0 ? one : two, positions), once)));
    expect(batches.map(({ events }) => events.length)).to.deep.equal([3, batchSize, batchSize + 1, 1]);
    expect(batches[0]?.behindSince, 'the others wait').to.equal(timeOf(4));
  });

  it('are empty where nothing is new, and not so soon after another', async () => {
    const { delivery, batches } = delivering();
    await delivery.deliverNothingNew();
    await delivery.deliverNothingNew();
    expect(batches).to.deep.equal([{ events: [], progress: { [one]: 0, [two]: 0 }, behindSince: null, epochs: { orders: 'x' } }]);
  });

  it('end with the first that fails: nobody waits for it, and it is not counted', async () => {
    const broken = new Error('broken');
    const { delivery, batches, errors, progress } = delivering(() => Promise.reject(broken));
    await Promise.all([delivery.deliver(arrived(one, many(1, batchSize)), once), delivery.deliver(arrived(two, [batchSize + 1]), once)]);
    expect(batches).to.have.length(1);
    expect(errors).to.deep.equal([broken]);
    expect(progress.position(one)).to.equal(0);
    await delivery.close();
  });
});
