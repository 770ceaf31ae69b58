import { expect } from 'chai';
import { eventCodec, upcasters } from '../../src/application/log/codec.js';
import type { EventStore, NewEvent } from '../../src/application/ports/event-store.js';
import { customers } from '../../src/application/views/index.js';
import { createStreamQueries } from '../../src/application/queries/streams.js';
import { createTraces, longestTrace } from '../../src/application/queries/traces.js';
import { MemoryEventStore } from '../../src/infrastructure/memory/memory-event-store.js';
import { MemoryLogSignal } from '../../src/infrastructure/memory/memory-log-signal.js';
import { uuidIds } from '../../src/infrastructure/process/uuid-ids.js';

const at = '2026-01-01T00:00:00.000Z';

function newEvent(version: number, name = 'Ada', correlationId = 'c'): NewEvent<'customers'> {
  const metadata = { id: uuidIds.next(), correlationId, causationId: null, principal: 'test', commandId: 'x' };
  if (version === 1) return { metadata, data: { type: 'CustomerRegistered', customerId: 'ada', name, currency: 'EUR', creditLimitMinor: null, at } };
  return { metadata, data: { type: 'CreditReserved', customerId: 'ada', orderId: `o-${version}`, amountMinor: 7, at } };
}

async function longStream(events: number, name?: string, correlationId?: string) {
  const store = new MemoryEventStore('customers', eventCodec(upcasters), new MemoryLogSignal());
  await store.append({ stream: 'customer-ada', expectedVersion: 0, events: Array.from({ length: events }, (_, n) => newEvent(n + 1, name, correlationId)) });
  return store;
}

/** Counts what is read, and takes only numbers that PostgreSQL would. */
function counted(of: () => EventStore<'customers'>) {
  const count = { events: 0 };
  const store = {
    async readStream(stream: string, range: { after?: number; to?: number } = {}) {
      for (const bound of Object.values(range)) if (bound > 2_147_483_647) throw new Error(`value "${bound}" is out of range for type integer`);
      const events = await of().readStream(stream, range);
      count.events += events.length;
      return events;
    },
    async readLog(query: Parameters<EventStore['readLog']>[0]) {
      const page = await of().readLog(query);
      count.events += page.events.length;
      return page;
    },
  } as EventStore<'customers'>;
  return { store, count };
}

const queriesOf = (store: EventStore<'customers'>) => createStreamQueries({ view: customers, store, stream: (id) => `customer-${id}`, unknown: 'customer.unknown' });
const refusal = (work: Promise<unknown>) => work.then(() => undefined, (error: unknown) => error);

describe('a long stream', () => {
  const length = 5_000;
  let whole: EventStore<'customers'>;
  before(async () => { whole = await longStream(length); });

  it('costs what it shows, page by page', async () => {
    const { store, count } = counted(() => whole);
    const queries = queriesOf(store);
    let pages = 0;
    const seen: number[] = [];
    for (let after = 0, more = true; more; pages++) {
      const page = await queries.history('ada', {}, { after, limit: 100 });
      for (const { event, state, changes } of page.entries) {
        seen.push(event.version);
        expect(state?.openOrders).to.equal(event.version - 1);
        if (event.version > 1) expect(changes.find(({ path }) => path === '/openOrders')).to.deep.equal({ path: '/openOrders', from: event.version - 2, to: event.version - 1 });
      }
      ({ more } = page);
      after = page.entries.at(-1)!.event.version;
    }
    expect(seen).to.deep.equal(Array.from({ length }, (_, n) => n + 1));
    expect(count.events).to.be.below(length + pages * 10);
  });

  it('is read to a place within it once, however often it is asked about places near it', async () => {
    const { store, count } = counted(() => whole);
    const queries = queriesOf(store);
    expect((await queries.history('ada', {}, { after: 4_500, limit: 2 })).entries.map(({ state }) => state?.version)).to.deep.equal([4_501, 4_502]);
    expect(count.events).to.be.below(4_600);
    for (const version of [4_500, 4_501, 4_503, 4_700, 4_400, 3_999, 1_005]) expect((await queries.atVersion('ada', {}, version)).openOrders, String(version)).to.equal(version - 1);
    expect((await queries.history('ada', {}, { after: 4_321, limit: 1 })).entries[0]?.state?.openOrders).to.equal(4_321);
    expect(count.events).to.be.below(4_600 + 8 * 1_010);
  });

  it('has a last page, and nothing beyond it, whatever is asked for', async () => {
    const { store, count } = counted(() => whole);
    const queries = queriesOf(store);
    for (const after of [length, length + 1, 2_147_483_646, 2_147_483_647]) expect(await queries.history('ada', {}, { after, limit: 200 }), String(after)).to.deep.equal({ entries: [], more: false });
    expect(count.events, 'nothing is read for nothing').to.be.below(20);
    expect((await queries.history('ada', {}, { after: length - 1, limit: 1 })).more).to.equal(false);
    expect(await refusal(queries.atVersion('ada', {}, 2_147_483_647))).to.include({ code: 'stream.unknown-version' }).and.to.have.nested.property('details.latest', length);
  });

  it('is shown to nobody whose it is not, at no page', async () => {
    const queries = queriesOf(whole);
    for (const after of [0, 4_000, length]) {
      expect(await refusal(queries.history('ada', { onlyCustomer: 'bob' }, { after, limit: 1 }))).to.include({ code: 'customer.unknown' });
      expect(await refusal(queries.history('nobody', {}, { after, limit: 1 }))).to.include({ code: 'customer.unknown' });
    }
    expect(await refusal(queries.atVersion('ada', { onlyCustomer: 'bob' }, 4_000))).to.include({ code: 'customer.unknown' });
  });

  it('of a log that was restored is folded anew', async () => {
    let log: EventStore<'customers'> = whole;
    const queries = queriesOf(counted(() => log).store);
    expect((await queries.atVersion('ada', {}, 4_000)).name).to.equal('Ada');
    log = await longStream(length, 'Eve');
    expect((await queries.atVersion('ada', {}, 4_000)).name).to.equal('Eve');
    expect((await queries.history('ada', {}, { after: 3_500, limit: 1 })).entries[0]?.state?.name).to.equal('Eve');
    log = await longStream(10, 'Bob');
    expect((await queries.atVersion('ada', {}, 10)).name).to.equal('Bob');
    expect(await refusal(queries.atVersion('ada', {}, 4_000))).to.have.nested.property('details.latest', 10);
  });
});

describe('a trace', () => {
  it('has a limit, and says so', async () => {
    const { store, count } = counted(((log) => () => log)(await longStream(longestTrace + 500, 'Ada', 'popular')));
    const trace = await createTraces({ customers: store })('popular');
    expect(trace.truncated).to.equal(true);
    expect(trace.events.map(({ event }) => event.version)).to.deep.equal(Array.from({ length: longestTrace }, (_, n) => n + 1));
    expect(count.events).to.equal(longestTrace + 1);
  });

  it('within the limit is whole', async () => {
    const trace = await createTraces({ customers: await longStream(longestTrace, 'Ada', 'popular') })('popular');
    expect([trace.truncated, trace.events.length]).to.deep.equal([false, longestTrace]);
    expect(await createTraces({ customers: await longStream(3) })('nothing')).to.deep.equal({ events: [], truncated: false });
  });
});
