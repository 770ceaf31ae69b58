import { expect } from 'chai';
import { getEventListeners } from 'node:events';
import fc from 'fast-check';
import { eventCodec, upcasters, type EventCodec } from '../../src/application/log/codec.js';
import { chained, decodeMessage, encodeMessage, linkOf } from '../../src/application/log/message.js';
import { partitionOf, sourceOf } from '../../src/application/log/partition.js';
import type { CheckpointStore } from '../../src/application/ports/checkpoint-store.js';
import type { Source } from '../../src/application/ports/event-feed.js';
import type { EventPublisher, Message } from '../../src/application/ports/event-publisher.js';
import type { RecordedEvent } from '../../src/application/ports/event-store.js';
import { relayCheckpoint, runRelay, type RelayState } from '../../src/application/log/relay.js';
import { MemoryCheckpointStore } from '../../src/infrastructure/memory/memory-checkpoint-store.js';
import { MemoryEventStore } from '../../src/infrastructure/memory/memory-event-store.js';
import { MemoryLogSignal } from '../../src/infrastructure/memory/memory-log-signal.js';
import { customerCommands, customerStream, orderCommands, orderStream } from '../support/arbitraries.js';
import { checkTopic, TopicInMemory } from '../support/chain.js';
import { logOf, newEvent, partitions } from '../support/events.js';

const codec = eventCodec(upcasters);
const epoch = 'e-1';

/** A log of orders of these customers, one event each. */
const logOfCustomers = (customers: readonly string[]) => logOf([{
  stream: 'order-1', events: customers.map((customerId) => ({ type: 'OrderApproved', orderId: 'o-1', customerId, at: '2026-01-01T00:00:00.000Z' })),
}]);
const customerIds = fc.array(fc.oneof(fc.string(), fc.constantFrom('c-1', 'c-2', 'c-3')), { maxLength: 60 });
const partitionCounts = fc.integer({ min: 1, max: 24 });
/** A log, cut into pages. */
const pages = (log: readonly RecordedEvent[], cuts: readonly number[]) => {
  const ends = [...new Set(cuts.map((cut) => Math.min(cut, log.length)))].sort((a, b) => a - b);
  return [...ends, log.length].map((end, index) => log.slice(ends[index - 1] ?? 0, end));
};

describe('the chain', () => {
  it('links each event to the one before it in its partition, and the first one to 0', () => {
    fc.assert(fc.property(customerIds, partitionCounts, (customers, count) => {
      const log = logOfCustomers(customers);
      const last = new Map<Source, number>();
      for (const { source, prev, event } of chained(log, count, last)) {
        const earlier = log.filter(({ position }) => position < event.position).filter((one) => sourceOf(one, count) === source);
        expect(prev).to.equal(earlier.at(-1)?.position ?? 0);
        expect(source).to.equal(`orders/${partitionOf(event.data.customerId, count)}`);
      }
      for (const [source, position] of last) expect(log.findLast((event) => sourceOf(event, count) === source)).to.include({ position });
    }));
  });

  it('is the same however the log is read, and wherever it is begun again', () => {
    fc.assert(fc.property(customerIds, partitionCounts, fc.array(fc.nat(60), { maxLength: 6 }), (customers, count, cuts) => {
      const log = logOfCustomers(customers);
      const whole = chained(log, count, new Map());
      let checkpoint = {};
      const inParts = pages(log, cuts).flatMap((page) => {
        const last = new Map(Object.entries(checkpoint) as [Source, number][]);
        const links = chained(page, count, last);
        const again = chained(page, count, new Map(Object.entries(checkpoint) as [Source, number][]));
        expect(again).to.deep.equal(links);
        checkpoint = Object.fromEntries(last);
        return links;
      });
      expect(inParts).to.deep.equal(whole);
    }));
  });

  it('tells what comes next from a duplicate and from a gap', () => {
    const link = (prev: number, position: number, have: number) => linkOf({ prev, event: { position } as RecordedEvent }, have);
    expect(link(0, 3, 0)).to.equal('next');
    expect(link(3, 9, 3)).to.equal('next');
    // A reader of the whole log is further than the partition's last event.
    expect(link(3, 9, 7)).to.equal('next');
    expect(link(3, 9, 9)).to.equal('duplicate');
    expect(link(3, 9, 12)).to.equal('duplicate');
    expect(link(3, 9, 2)).to.equal('gap');
    expect(link(3, 9, 0)).to.equal('gap');
  });

  it('takes a reader that drops duplicates and fills gaps through everything once, whatever a topic repeats or lacks', () => {
    fc.assert(fc.property(customerIds, fc.array(fc.nat(80), { maxLength: 80 }), (customers, kept) => {
      const links = chained(logOfCustomers(customers), 1, new Map());
      const seen: number[] = [];
      let have = 0;
      for (const index of kept) {
        const one = links[index];
        if (one === undefined) continue;
        const kind = linkOf(one, have);
        if (kind === 'duplicate') continue;
        if (kind === 'gap') seen.push(...links.map(({ event }) => event.position).filter((position) => position > have && position <= one.prev));
        seen.push(one.event.position);
        have = one.event.position;
      }
      expect(seen).to.deep.equal(links.map(({ event }) => event.position).filter((position) => position <= have));
    }));
  });
});

describe('a message', () => {
  const streams = fc.tuple(
    fc.array(customerCommands(), { minLength: 1, maxLength: 20 }).map((commands) => customerStream('c-1', commands)),
    fc.array(orderCommands(), { minLength: 1, maxLength: 20 }).map((commands) => orderStream('o-1', commands)),
  );

  it('brings back every event as it was', () => {
    fc.assert(fc.property(streams, (both) => {
      for (const { source, prev, event } of chained(logOf(both), partitions, new Map())) {
        const partition = partitionOf(event.data.customerId, partitions);
        const message = encodeMessage(event, { prev, partition, epoch }, codec);
        expect(decodeMessage(message.value, codec)).to.deep.equal({ source, prev, epoch, event });
        expect(message).to.include({ partition, key: event.data.customerId, timestamp: Date.parse(event.recordedAt) });
      }
    }));
  });

  it('brings back what caused the event, and the trace that it belongs to', () => {
    const [event] = logOfCustomers(['c-1']);
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const traced = { ...event!, metadata: { ...event!.metadata, causationId: 'cause', traceparent } };
    const message = encodeMessage(traced, { prev: 0, partition: 1, epoch }, codec);
    expect(message.headers.traceparent).to.equal(traceparent);
    expect(decodeMessage(message.value, codec).event).to.deep.equal(traced);
  });

  it('of an older schema comes back in today\'s shape', () => {
    const [event] = logOfCustomers(['c-1']);
    const later: EventCodec = eventCodec({ OrderApproved: [(data) => ({ ...data, by: 'nobody' }), (data) => ({ ...data, by: [data.by] })] });
    const { value } = encodeMessage(event!, { prev: 0, partition: 1, epoch }, codec);
    expect(decodeMessage(value, later).event.data).to.deep.equal({ ...event!.data, by: ['nobody'] });
    const today = decodeMessage(value, later).event;
    expect(decodeMessage(encodeMessage(today, { prev: 0, partition: 1, epoch }, later).value, later).event).to.deep.equal(today);
  });

  it('that is not ours is refused', () => {
    const [event] = logOfCustomers(['c-1']);
    const good = JSON.parse(encodeMessage(event!, { prev: 0, partition: 1, epoch }, codec).value);
    for (const value of ['', 'x', 'null', '1', '[]', '{}', ...['position', 'prev', 'partition', 'epoch', 'data', 'source', 'type', 'subject', 'streamversion', 'schemaversion'].map((name) => JSON.stringify({ ...good, [name]: undefined })), JSON.stringify({ ...good, data: null })]) {
      expect(() => decodeMessage(value, codec), value).to.throw();
    }
    expect(() => decodeMessage(JSON.stringify(good), codec)).not.to.throw();
  });
});

describe('the relay', function () {
  this.timeout(20_000);
  let signal: MemoryLogSignal;
  let store: MemoryEventStore<'orders'>;
  let checkpoints: MemoryCheckpointStore;
  let topic: TopicInMemory;
  let appended = 0;
  beforeEach(() => {
    signal = new MemoryLogSignal();
    store = new MemoryEventStore('orders', codec, signal);
    checkpoints = new MemoryCheckpointStore();
    topic = new TopicInMemory();
    appended = 0;
  });

  const append = async (count: number) => {
    for (let n = 0; n < count; n++) {
      const id = ++appended;
      await store.append({ stream: `order-${id}`, expectedVersion: 0, events: [newEvent({ type: 'OrderApproved', orderId: `o-${id}`, customerId: `c-${id % 30}`, at: '2026-01-01T00:00:00.000Z' })] });
    }
  };
  /** Relays until everything is published, or it fails. */
  async function relay(using: { publisher?: EventPublisher; checkpoints?: CheckpointStore } = {}): Promise<RelayState[]> {
    const stop = new AbortController();
    const states: RelayState[] = [];
    await runRelay('orders', { store, checkpoints, signal, publisher: topic, codec, partitions, ...using }, stop.signal, (state) => {
      states.push(state);
      if (state.position === appended) stop.abort();
    });
    return states;
  }
  const everything = async () => (await store.readLog({ after: 0, limit: Infinity })).events;
  const expectWhole = async () => {
    checkTopic(topic.messages, await everything(), partitions);
    expect(Math.max(0, ...Object.values(await checkpoints.load(relayCheckpoint)) as number[])).to.equal(appended);
  };

  it('publishes everything once and in order, over any number of pages', async () => {
    await append(4_500);
    const states = await relay();
    expect(topic.messages.map(({ value }) => decodeMessage(value, codec).event)).to.deep.equal(await everything());
    await expectWhole();
    expect(states[0]).to.include({ position: 0, context: 'orders' }).and.have.property('behindSince').that.is.a('string');
    expect(states.at(-1)).to.include({ position: 4_500, behindSince: null }).and.have.property('published').that.deep.equals(await checkpoints.load(relayCheckpoint));
  });

  it('goes on from its checkpoint', async () => {
    await append(40);
    await relay();
    topic.messages.length = 0;
    await append(15);
    await relay();
    const events = topic.messages.map(({ value }) => decodeMessage(value, codec));
    expect(events.map(({ event }) => event.position)).to.deep.equal(Array.from({ length: 15 }, (_, n) => 41 + n));
    const links = chained(await everything(), partitions, new Map());
    expect(events.map(({ prev }) => prev)).to.deep.equal(links.slice(40).map(({ prev }) => prev));
  });

  it('is woken by an append, follows one that nobody told it of, and ends when it is told to', async () => {
    const stop = new AbortController();
    const until = (position: number) => new Promise<void>((resolve) => { reached = (at) => { if (at === position) resolve(); }; });
    let reached: (position: number) => void = () => undefined;
    const running = runRelay('orders', { store, checkpoints, signal, publisher: topic, codec, partitions }, stop.signal, ({ position }) => { reached(position); });
    const first = until(1);
    await append(1);
    await first;
    const second = until(2);
    signal.raise = () => undefined;
    await append(1);
    await second;
    stop.abort();
    await running;
    await expectWhole();
  });

  /** What goes wrong at the nth batch, before or after which step. */
  type Fault = 'before the send' | 'in the middle of the send' | 'after the send' | 'before the checkpoint' | 'after the checkpoint';
  const faults: Fault[] = ['before the send', 'in the middle of the send', 'after the send', 'before the checkpoint', 'after the checkpoint'];
  function faulty(next: (fault: Fault) => boolean): { publisher: EventPublisher; checkpoints: CheckpointStore } {
    const check = (fault: Fault) => { if (next(fault)) throw new Error(fault); };
    return {
      publisher: {
        async publish(context, messages) {
          check('before the send');
          if (next('in the middle of the send')) {
            await topic.publish(context, messages.slice(0, Math.ceil(messages.length / 2)));
            throw new Error('in the middle of the send');
          }
          await topic.publish(context, messages);
          check('after the send');
        },
      },
      checkpoints: {
        load: (name) => checkpoints.load(name),
        save: (name, progress) => checkpoints.save(name, progress),
        async advance(name, expected, to) {
          check('before the checkpoint');
          const done = await checkpoints.advance(name, expected, to);
          check('after the checkpoint');
          return done;
        },
      },
    };
  }

  const repeated: Record<Fault, number> = { 'before the send': 0, 'in the middle of the send': 10, 'after the send': 20, 'before the checkpoint': 20, 'after the checkpoint': 0 };
  for (const fault of faults) {
    it(`that fails ${fault} publishes again what it had not noted, and loses nothing`, async () => {
      await append(30);
      await relay();
      await append(20);
      const failed = await relay(faulty((one) => one === fault)).catch((error: unknown) => error);
      expect(failed).to.be.an('error').with.property('message', fault);
      await append(10);
      await relay();
      await expectWhole();
      expect(topic.messages).to.have.length(60 + repeated[fault]);
    });
  }

  it('that fails leaves nothing behind on the signal that stops it', async () => {
    const stop = new AbortController();
    for (const fault of faults) {
      await append(1);
      const { publisher, checkpoints: failing } = faulty((one) => one === fault);
      expect(await runRelay('orders', { store, checkpoints: failing, signal, publisher, codec, partitions }, stop.signal).catch((error: unknown) => error)).to.have.property('message', fault);
    }
    expect(getEventListeners(stop.signal, 'abort')).to.have.length(0);
  });

  it('loses nothing, whenever and however often it fails', async () => {
    await fc.assert(fc.asyncProperty(fc.array(fc.record({ events: fc.nat(25), fault: fc.option(fc.constantFrom(...faults)) }), { maxLength: 12 }), async (rounds) => {
      store = new MemoryEventStore('orders', codec, signal);
      checkpoints = new MemoryCheckpointStore();
      topic = new TopicInMemory();
      appended = 0;
      for (const { events, fault } of rounds) {
        await append(events);
        await relay(faulty((one) => one === fault)).catch((error: unknown) => { expect(error).to.have.property('message', fault); });
      }
      await relay();
      await expectWhole();
    }), { numRuns: 60 });
  });

  it('that lost the lead while it published is stopped by the checkpoint, and the topic stays in order', async () => {
    await append(20);
    let sent: () => void = () => undefined;
    let goOn: () => void = () => undefined;
    const sending = new Promise<void>((resolve) => { sent = resolve; });
    const held = new Promise<void>((resolve) => { goOn = resolve; });
    const slow: EventPublisher = {
      async publish(context, messages: readonly Message[]) {
        sent();
        await held;
        await topic.publish(context, messages);
      },
    };
    const first = relay({ publisher: slow }).then(() => undefined, (error: unknown) => error);
    await sending;
    await append(5);
    await relay();
    const noted = await checkpoints.load(relayCheckpoint);
    goOn();
    expect(await first).to.be.an('error').with.property('message').that.matches(/another relay of orders has moved the checkpoint/);
    expect(await checkpoints.load(relayCheckpoint)).to.deep.equal(noted);
    expect(topic.messages).to.have.length(45);
    await expectWhole();
  });
});
