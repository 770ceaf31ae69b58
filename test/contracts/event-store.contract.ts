import { expect } from 'chai';
import { eventCodec, upcasters, type EventCodec } from '../../src/application/log/codec.js';
import type { AppendRequest, EventStore } from '../../src/application/ports/event-store.js';
import { Rejection } from '../../src/domain/shared/rejection.js';
import { newEvent } from '../support/events.js';

/** What every EventStore promises. An adapter is correct when this passes, and only then. */
export function eventStoreContract(adapter: string, open: (codec: EventCodec) => Promise<{ reopen: (codec: EventCodec) => EventStore<'orders'>; close: () => Promise<void> }>) {
  describe(`EventStore contract: ${adapter}`, function () {
    this.timeout(30_000);
    let store: EventStore<'orders'>;
    let reopen: (codec: EventCodec) => EventStore<'orders'>;
    let close: () => Promise<void>;
    beforeEach(async () => {
      const codec = eventCodec(upcasters);
      ({ reopen, close } = await open(codec));
      store = reopen(codec);
    });
    afterEach(() => close());

    const append = (stream: string, expectedVersion: number, count = 1, rest: Partial<AppendRequest<'orders'>> = {}) =>
      store.append({ stream, expectedVersion, events: Array.from({ length: count }, () => newEvent()), ...rest });
    const idempotency = (key: string, digest = 'd', response = '{"position":{position}}') => ({ principal: 'p', key, digest, response });

    it('reads a stream back in order from 1', async () => {
      const events = [newEvent({ type: 'OrderPaid', orderId: 'o', customerId: 'c', paymentReference: 'Ä "quoted" \\ 😀 \u0001', totalMinor: 1, at: '2026-01-01T00:00:00.000Z' }), newEvent(), newEvent()];
      expect(await store.append({ stream: 's', expectedVersion: 0, events })).to.include({ status: 'appended', version: 3, position: 3 });
      const read = await store.readStream('s');
      expect(read.map(({ version }) => version)).to.deep.equal([1, 2, 3]);
      expect(read.map(({ data, metadata }) => ({ data, metadata }))).to.deep.equal(events);
      expect(read[0]).to.include({ context: 'orders', stream: 's', position: 1 });
      expect(await store.readStream('s', { after: 1, to: 2 })).to.deep.equal([read[1]]);
      expect(await store.readStream('nobody')).to.deep.equal([]);
    });

    it('refuses a writer that is behind, keeping nothing of the attempt', async () => {
      await append('s', 0, 2);
      expect(await append('s', 1, 1, { idempotency: idempotency('k'), claims: [{ scope: 'x', key: 'y' }] })).to.deep.equal({ status: 'conflict' });
      expect(await store.readStream('s')).to.have.length(2);
      expect(await store.findResult({ principal: 'p', key: 'k' })).to.equal(undefined);
      expect(await append('other', 0, 1, { claims: [{ scope: 'x', key: 'y' }] })).to.include({ status: 'appended' });
    });

    it('refuses a writer that is ahead of the stream', async () => {
      expect(await append('s', 1)).to.deep.equal({ status: 'conflict' });
      await append('s', 0, 2);
      expect(await append('s', 3)).to.deep.equal({ status: 'conflict' });
      expect(await store.head()).to.include({ position: 2 });
    });

    it('refuses what is past its deadline, and never stores it', async () => {
      const late = await append('s', 0, 1, { deadline: performance.now() - 1 }).catch((error: unknown) => error);
      expect(late).to.be.instanceOf(Rejection).with.property('code', 'log.unavailable');
      expect(late).to.have.nested.property('details.outcome', 'not-stored');
      expect(await append('s', 0, 1, { deadline: performance.now() + 60_000 })).to.include({ status: 'appended', version: 1, position: 1 });
      expect(await store.head()).to.include({ position: 1 });
      await store.check();
    });

    it('lets exactly one of ten concurrent writers win', async () => {
      const outcomes = await Promise.all(Array.from({ length: 10 }, () => append('s', 0)));
      expect(outcomes.filter(({ status }) => status === 'appended')).to.have.length(1);
      expect(outcomes.filter(({ status }) => status === 'conflict')).to.have.length(9);
    });

    it('numbers what many append at once 1, 2, 3 … without a hole, and never goes back in time', async () => {
      await Promise.all(Array.from({ length: 300 }, (_, n) => append(`s-${n % 60}`, n < 60 ? 0 : 99, 1 + (n % 3))));
      const { events } = await store.readLog({ after: 0, limit: 1_000 });
      expect(events.map(({ position }) => position)).to.deep.equal(events.map((_, index) => index + 1));
      expect((await store.head()).position).to.equal(events.length);
      const times = events.map(({ recordedAt }) => recordedAt);
      expect(times).to.deep.equal([...times].sort());
      expect(Date.parse(times[0]!)).to.be.closeTo(Date.now(), 60_000);
    });

    it('never lets one conflict fail its neighbours', async () => {
      await append('taken', 0);
      const outcomes = await Promise.all([append('a', 0), append('taken', 0), append('b', 0), append('taken', 7), append('c', 0)]);
      expect(outcomes.map(({ status }) => status)).to.deep.equal(['appended', 'conflict', 'appended', 'conflict', 'appended']);
    });

    it('answers a key that was used before with what was stored under it, whatever else is wrong', async () => {
      expect(await append('s', 0, 2, { idempotency: idempotency('k') })).to.include({ status: 'appended', position: 2 });
      const stored = { digest: 'd', response: '{"position":2}' };
      expect(await append('s', 5, 1, { idempotency: idempotency('k', 'other') })).to.deep.equal({ status: 'duplicate', stored });
      expect(await store.findResult({ principal: 'p', key: 'k' })).to.deep.equal(stored);
      expect(await store.findResult({ principal: 'q', key: 'k' })).to.equal(undefined);
      expect(await append('t', 0, 1, { idempotency: { ...idempotency('k'), principal: 'q' } })).to.include({ status: 'appended' });
    });

    it('stores exactly one of many with the same key', async () => {
      const outcomes = await Promise.all(Array.from({ length: 8 }, (_, n) => append(`s-${n}`, 0, 1, { idempotency: idempotency('k') })));
      expect(outcomes.map(({ status }) => status).sort()).to.deep.equal(['appended', ...Array.from({ length: 7 }, () => 'duplicate')]);
      expect(await store.head()).to.include({ position: 1 });
    });

    it('keeps the result of a command that changed nothing', async () => {
      await append('s', 0);
      expect(await append('s', 1, 0, { idempotency: idempotency('k', 'd', 'same') })).to.include({ status: 'appended', version: 1 });
      expect(await store.findResult({ principal: 'p', key: 'k' })).to.deep.equal({ digest: 'd', response: 'same' });
      expect(await append('s', 0, 0, { idempotency: idempotency('l') })).to.deep.equal({ status: 'conflict' });
      expect((await store.head()).position).to.equal(1);
    });

    it('stores nothing for whoever may not any more', async () => {
      const asked: string[] = [];
      const mayAppend = (may: boolean) => () => { asked.push(String(may)); return may; };
      expect(await append('s', 0, 1, { mayAppend: mayAppend(false), idempotency: idempotency('k'), claims: [{ scope: 'x', key: 'y' }] })).to.deep.equal({ status: 'withdrawn' });
      expect([await store.readStream('s'), await store.findResult({ principal: 'p', key: 'k' }), (await store.head()).position]).to.deep.equal([[], undefined, 0]);
      expect(await append('s', 0, 1, { mayAppend: mayAppend(true), idempotency: idempotency('k'), claims: [{ scope: 'x', key: 'y' }] })).to.include({ status: 'appended' });
      expect(new Set(asked)).to.deep.equal(new Set(['false', 'true']));
    });

    it('gives a unique key to one stream at a time', async () => {
      const key = { scope: 'email', key: 'a@b' };
      expect(await append('a', 0, 1, { claims: [key] })).to.include({ status: 'appended' });
      expect(await append('b', 0, 1, { claims: [{ scope: 'email', key: 'free' }, key] })).to.deep.equal({ status: 'taken', key });
      expect(await store.readStream('b')).to.deep.equal([]);
      expect(await append('b', 0, 1, { claims: [{ scope: 'other', key: 'a@b' }] })).to.include({ status: 'appended' });
      expect(await append('a', 1, 1, { claims: [key] }), 'its own key again').to.include({ status: 'appended' });
      expect(await append('b', 1, 1, { releases: [key] }), 'somebody else\'s key').to.include({ status: 'appended' });
      expect(await append('c', 0, 1, { claims: [key] })).to.include({ status: 'taken' });
      expect(await append('a', 2, 1, { releases: [key] })).to.include({ status: 'appended' });
      expect(await append('c', 0, 1, { claims: [key] })).to.include({ status: 'appended' });
    });

    it('gives a unique key to one of many that claim it at once', async () => {
      const outcomes = await Promise.all(Array.from({ length: 8 }, (_, n) => append(`s-${n}`, 0, 1, { claims: [{ scope: 'x', key: 'y' }] })));
      expect(outcomes.filter(({ status }) => status === 'appended')).to.have.length(1);
      expect(outcomes.filter(({ status }) => status === 'taken')).to.have.length(7);
    });

    it('looks for a conflict before it looks for a taken key', async () => {
      await append('a', 0, 1, { claims: [{ scope: 'x', key: 'y' }] });
      expect(await append('b', 4, 1, { claims: [{ scope: 'x', key: 'y' }] })).to.deep.equal({ status: 'conflict' });
    });

    it('resumes after any position, in pages and filtered', async () => {
      const shipped = () => newEvent({ type: 'OrderShipped', orderId: 'o', customerId: 'c', at: '2026-01-01T00:00:00.000Z' });
      for (let n = 0; n < 6; n++) await store.append({ stream: n % 2 === 0 ? 'even' : 'odd', expectedVersion: Math.floor(n / 2), events: [n === 4 ? shipped() : newEvent()] });
      const all = (await store.readLog({ after: 0, limit: 10 })).events;
      const positions = async (query: Parameters<typeof store.readLog>[0]) => {
        const page = await store.readLog(query);
        return [page.events.map(({ position }) => position), page.next];
      };
      expect(await positions({ after: 0, limit: 2 })).to.deep.equal([[1, 2], 2]);
      expect(await positions({ after: 4, limit: 10 })).to.deep.equal([[5, 6], 6]);
      expect(await positions({ after: 6, limit: 10 })).to.deep.equal([[], 6]);
      expect(await positions({ after: 0, limit: 10, types: ['OrderShipped'] }), 'what the filter hides is passed over').to.deep.equal([[5], 6]);
      expect(await positions({ after: 0, limit: 2, stream: 'odd' })).to.deep.equal([[2, 4], 4]);
      expect(await positions({ after: 2, limit: 9, stream: 'odd', types: ['OrderApproved'] })).to.deep.equal([[4, 6], 6]);
      expect(await positions({ after: 0, limit: 9, correlationId: all[2]!.metadata.correlationId })).to.deep.equal([[3], 6]);
    });

    it('cannot be changed through what was handed in or returned', async () => {
      const event = newEvent({ type: 'OrderPaid', orderId: 'o', customerId: 'c', paymentReference: 'p', totalMinor: 1, at: '2026-01-01T00:00:00.000Z' });
      const original = structuredClone(event);
      await store.append({ stream: 's', expectedVersion: 0, events: [event] });
      Object.assign(event.data, { paymentReference: 'changed' });
      Object.assign(event.metadata, { principal: 'changed' });
      const [read] = await store.readStream('s');
      Object.assign(read!.data, { paymentReference: 'changed' });
      Object.assign(read!.metadata, { principal: 'changed' });
      const [again] = await store.readStream('s');
      expect({ data: again!.data, metadata: again!.metadata }).to.deep.equal(original);
    });

    it('gives every reader today\'s shapes', async () => {
      await append('s', 0);
      const later = reopen(eventCodec({ OrderApproved: [(data) => ({ ...data, customerId: `${String(data.customerId)}-upcast` })] }));
      expect((await later.readStream('s'))[0]?.data.customerId).to.equal('c-1-upcast');
      expect((await later.readLog({ after: 0, limit: 1 })).events[0]?.data.customerId).to.equal('c-1-upcast');
      await later.append({ stream: 's', expectedVersion: 1, events: [newEvent()] });
      expect((await later.readStream('s'))[1]?.data.customerId, 'stored in today\'s shape').to.equal('c-1');
    });

    it('stops a reader whose code is older than an event, and says so', async () => {
      const newer = eventCodec({ OrderApproved: [(data) => data] });
      await reopen(newer).append({ stream: 's', expectedVersion: 0, events: [newEvent()] });
      expect(await reopen(newer).readStream('s')).to.have.length(1);
      for (const read of [() => store.readStream('s'), () => store.readLog({ after: 0, limit: 1 })]) {
        const failed: unknown = await (async () => read())().catch((error: unknown) => error);
        expect(failed).to.be.an('error').with.property('message').that.matches(/OrderApproved is stored in schema version 2, and this version of the software knows it up to 1/);
      }
    });

    it('stops a reader whose code does not know an event at all', async () => {
      const codec = eventCodec({});
      const newer = { ...codec, encode: (event: Parameters<typeof codec.encode>[0]) => ({ ...codec.encode(event), type: 'OrderReturned' }) };
      await reopen(newer).append({ stream: 's', expectedVersion: 0, events: [newEvent()] });
      const failed: unknown = await (async () => store.readLog({ after: 0, limit: 1 }))().catch((error: unknown) => error);
      expect(failed).to.be.an('error').with.property('message').that.matches(/knows no event OrderReturned: run the newer one/);
    });

    it('has one epoch', async () => {
      const { epoch, position } = await store.head();
      expect(position).to.equal(0);
      expect(epoch).to.match(/^[0-9a-f-]{36}$/);
      await append('s', 0);
      expect(await store.head()).to.deep.equal({ position: 1, epoch });
    });
  });
}
