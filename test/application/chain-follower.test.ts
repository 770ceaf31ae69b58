import { expect } from 'chai';
import fc from 'fast-check';
import { chained } from '../../src/application/log/message.js';
import { eventCodec, upcasters } from '../../src/application/log/codec.js';
import { sourceOf } from '../../src/application/log/partition.js';
import type { EventStores } from '../../src/application/ports/event-store.js';
import type { BatchDelivery } from '../../src/infrastructure/kafka/events/batch-delivery.js';
import { ChainFollower, type ArrivedMessage } from '../../src/infrastructure/kafka/events/chain-follower.js';
import { FeedProgress } from '../../src/infrastructure/kafka/events/feed-progress.js';
import { MemoryEventStore } from '../../src/infrastructure/memory/memory-event-store.js';
import { MemoryLogSignal } from '../../src/infrastructure/memory/memory-log-signal.js';
import { newEvent, partitions, quiet } from '../support/events.js';

const epoch = '0b8f5f64-5717-4562-b3fc-2c963f66afa6';
const length = 60;
const once = () => Promise.resolve();

describe('what the chain of a partition lacks in its topic', () => {
  const store = new MemoryEventStore('orders', eventCodec(upcasters), new MemoryLogSignal(), epoch);
  let own: ArrivedMessage[];
  before(async () => {
    for (let n = 1; n <= length; n++) {
      const event = newEvent({ type: 'OrderApproved', orderId: `o-${n}`, customerId: `c-${n % 3}`, at: '2026-01-01T00:00:00.000Z' });
      await store.append({ stream: `order-${n}`, expectedVersion: 0, events: [event] });
    }
    const { events } = await store.readLog({ after: 0, limit: length });
    const one = sourceOf(events[0]!, partitions);
    own = chained(events, partitions, new Map()).filter(({ source }) => source === one).map((link, at) => ({ ...link, epoch, offset: String(at) }));
    expect(own.length).to.be.within(20, length - 20);
  });

  function following({ stores = { orders: store }, have = 0, over = false }: { stores?: Partial<EventStores>; have?: number; over?: boolean } = {}) {
    const { source } = own[0]!;
    const progress = new FeedProgress({ reached: () => Promise.resolve({}) });
    progress.reached(source, have);
    const batches: { positions: number[]; reached: number; behindSince: string | null }[] = [];
    const deliver: BatchDelivery['deliver'] = ({ events, reached, behindSince }) => {
      batches.push({ positions: events.map(({ event }) => event.position), reached, behindSince });
      progress.reached(source, reached);
      return Promise.resolve();
    };
    const follower = new ChainFollower({ group: 'view', stores, partitions, logger: quiet, progress, delivery: { deliver }, ended: () => over });
    return { follower, progress, batches, source, read: (messages: ArrivedMessage[], more = false) => follower.handOver(source, messages, more, once) };
  }
  const positions = (messages: readonly ArrivedMessage[]) => messages.map(({ event }) => event.position);

  it('is read from the log, wherever it lies, and each event is delivered once and in order', async () => {
    const some = fc.subarray(Array.from({ length: 20 }, (_, n) => n), { minLength: 1 });
    await fc.assert(fc.asyncProperty(some, fc.integer({ min: 1, max: 7 }), async (kept, size) => {
      const { read, batches } = following({ have: own[0]!.event.position });
      const messages = kept.map((n) => own[n]!);
      for (let from = 0; from < messages.length; from += size) expect(await read(messages.slice(from, from + size))).to.equal('behind these');
      expect(batches.flatMap((batch) => batch.positions)).to.deep.equal(positions(own.slice(1, kept.at(-1)! + 1)));
    }), { numRuns: 50 });
  });

  it('is looked for in the topic first, by a subscriber that has nothing', async () => {
    const { read, batches } = following();
    expect(await read(own.slice(3, 5))).to.equal('from the beginning');
    expect(await read(own.slice(3, 5)), 'it was not there either').to.equal('behind these');
    expect(batches.flatMap((batch) => batch.positions)).to.deep.equal(positions(own.slice(0, 5)));
  });

  it('stops the partition, when the log does not have it either; what lies before it is delivered', async () => {
    const empty = new MemoryEventStore('orders', eventCodec(upcasters), new MemoryLogSignal(), epoch);
    const { read, batches, progress } = following({ stores: { orders: empty }, have: own[0]!.event.position });
    expect(await read([own[1]!, own[3]!])).to.equal('later');
    expect(batches.map((batch) => batch.positions)).to.deep.equal([positions([own[1]!])]);
    expect(await read([own[3]!])).to.equal('later');
    expect(batches).to.have.length(1);
    expect(progress.behindSince([])).to.equal(own[3]!.event.recordedAt);
  });

  it('is left out, when its log is not at hand, and the partition is behind since then', async () => {
    const { read, batches, follower, source } = following({ stores: {}, have: own[0]!.event.position });
    const hole = { offset: '3', since: own[3]!.event.recordedAt };
    expect(await read([own[1]!, own[3]!])).to.equal('from the beginning');
    expect(await read([own[1]!, own[3]!, own[4]!])).to.equal('behind these');
    expect(follower.holeIn(source)).to.deep.equal(hole);
    expect(batches.at(-1)).to.deep.equal({ positions: [], reached: own[1]!.event.position, behindSince: hole.since });
    expect(await read([own[2]!, own[3]!])).to.equal('behind these');
    expect(follower.holeIn(source)).to.equal(undefined);
    expect(batches.at(-1)).to.deep.equal({ positions: positions([own[2]!, own[3]!]), reached: own[3]!.event.position, behindSince: null });
  });

  it('is behind since the last event that was read, where there are more', async () => {
    const { read, batches } = following();
    await read(own.slice(0, 2), true);
    await read(own.slice(0, 2), true);
    await read(own.slice(2, 4));
    const since = own[1]!.event.recordedAt;
    expect(batches.map(({ behindSince }) => behindSince)).to.deep.equal([since, since, null]);
  });

  it('is not waited for once the feed is over', async () => {
    const { read, batches } = following({ have: own[0]!.event.position, over: true });
    expect(await read([own[3]!])).to.equal('later');
    expect(batches).to.deep.equal([]);
  });
});
