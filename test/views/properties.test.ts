import { expect } from 'chai';
import fc from 'fast-check';
import type { EventFeed, FeedEvent } from '../../src/application/ports/event-feed.js';
import type { RecordedEvent } from '../../src/application/ports/event-store.js';
import { customerHistory, customers, orderCustomers, orders } from '../../src/application/views/index.js';
import { documentIdOf, foldAll } from '../../src/application/views/fold.js';
import type { View } from '../../src/application/ports/view-store.js';
import { furthest } from '../../src/application/log/partition.js';
import { runProjector } from '../../src/application/views/projector.js';
import { MemoryViewStore } from '../../src/infrastructure/memory/memory-view-store.js';
import { customerCommands, customerStream, orderCommands, orderStream } from '../support/arbitraries.js';
import { clock, fed, logOf, quiet } from '../support/events.js';

const views: View<object>[] = [orders, customers, customerHistory, orderCustomers].map((view) => view as View<object>);
const runs = { numRuns: 60 };

/** The logs of two customers and four orders, in any interleaving of the streams. */
const logs = fc.tuple(
  fc.array(customerCommands('c-1'), { minLength: 3, maxLength: 12 }),
  fc.array(customerCommands('c-2'), { maxLength: 12 }),
  fc.array(fc.array(orderCommands('x'), { minLength: 2, maxLength: 10 }), { minLength: 4, maxLength: 4 }),
  fc.infiniteStream(fc.nat(20)),
).map(([first, second, many, picks]) => {
  const registered = (customerId: string) => ({ type: 'RegisterCustomer' as const, customerId, name: 'Ada', currency: 'EUR', creditLimitMinor: null });
  const streams = [
    customerStream('c-1', [registered('c-1'), ...first]), customerStream('c-2', [registered('c-2'), ...second]),
    ...many.map((commands, n) => orderStream(`o-${n}`, commands.map((command) => ({ ...command, orderId: `o-${n}`, ...('customerId' in command && { customerId: `c-${1 + n % 2}` }) })))),
  ];
  return logOf(streams, () => picks.next().value as number);
});

function expected(view: View<object>, log: readonly RecordedEvent[]): Map<string, object> {
  const streams = new Map<string, RecordedEvent[]>();
  for (const event of log) {
    const id = view.contexts.includes(event.context) ? documentIdOf(view, event) : undefined;
    if (id !== undefined) streams.set(id, [...(streams.get(id) ?? []), event]);
  }
  return new Map([...streams].flatMap(([id, events]) => {
    const document = foldAll(view, id, events);
    return document === undefined ? [] : [[id, document] as const];
  }));
}

/** Feeds these batches, one after the other, as a feed would. */
function feedOf(batches: readonly (readonly FeedEvent[])[]): EventFeed {
  return {
    shared: false,
    async run({ contexts, onBatch }) {
      let progress = {};
      for (const events of batches) {
        const wanted = events.filter(({ event }) => contexts.includes(event.context));
        progress = furthest(progress, Object.fromEntries(wanted.map(({ source, event }) => [source, event.position])));
        await onBatch({ events: wanted, progress, behindSince: null, epochs: {} });
      }
    },
  };
}

const heads = { head: async () => ({ position: 1_000_000, epoch: 'e' }) } as never;
const stores = { customers: heads, orders: heads };

async function project(view: View<object>, store: MemoryViewStore<object>, batches: readonly (readonly FeedEvent[])[]): Promise<void> {
  await runProjector(view, { store, feed: feedOf(batches), stores, clock, logger: quiet }, new AbortController().signal);
}

async function documents(store: MemoryViewStore<object>, ids: Iterable<string>): Promise<Map<string, object>> {
  return new Map([...(await store.read([...ids]))].map(([id, { document }]) => [id, document]));
}

/** Cut anywhere, some stretches delivered again, some events twice. */
function redelivered(log: readonly RecordedEvent[], dice: () => number): FeedEvent[][] {
  const batches: FeedEvent[][] = [];
  for (let from = 0; from < log.length;) {
    const to = from + 1 + dice() % 7;
    const batch = log.slice(Math.max(0, from - dice() % 5), to).map(fed);
    batches.push(dice() % 3 === 0 ? batch.flatMap((event) => [event, event]) : batch);
    from = to;
  }
  return batches;
}

describe('every view', () => {
  for (const view of views) {
    it(`${view.name} ends in the same documents however its feed was cut, repeated and redelivered`, async () => {
      await fc.assert(fc.asyncProperty(logs, fc.infiniteStream(fc.nat(100)), async (log, dice) => {
        const store = new MemoryViewStore(view);
        await project(view, store, redelivered(log, () => dice.next().value as number));
        const wanted = expected(view, log);
        expect(await documents(store, wanted.keys())).to.deep.equal(wanted);
      }), runs);
    });

    it(`${view.name} is the same after a rebuild as live`, async () => {
      await fc.assert(fc.asyncProperty(logs, async (log) => {
        const [live, rebuilt] = [new MemoryViewStore(view), new MemoryViewStore(view)];
        await project(view, live, log.map((event) => [fed(event)]));
        await project(view, rebuilt, [log.map(fed)]);
        const ids = [...expected(view, log).keys()];
        expect(await documents(rebuilt, ids)).to.deep.equal(await documents(live, ids));
      }), runs);
    });

    it(`${view.name} survives several projectors that write it at the same time`, async () => {
      await fc.assert(fc.asyncProperty(logs, fc.infiniteStream(fc.nat(100)), async (log, dice) => {
        const store = new MemoryViewStore(view);
        await Promise.all(Array.from({ length: 3 }, () => project(view, store, redelivered(log, () => dice.next().value as number))));
        const wanted = expected(view, log);
        expect(await documents(store, wanted.keys())).to.deep.equal(wanted);
      }), runs);
    });
  }

  it('customer-history is the same for any interleaving of the two contexts', async () => {
    await fc.assert(fc.asyncProperty(logs, fc.infiniteStream(fc.boolean()), async (log, dice) => {
      const [ones, others] = [log.filter(({ context }) => context === 'customers'), log.filter(({ context }) => context === 'orders')];
      const mixed: RecordedEvent[] = [];
      while (ones.length + others.length > 0) mixed.push(((dice.next().value as boolean) && ones.length > 0) || others.length === 0 ? ones.shift()! : others.shift()!);
      expect(expected(customerHistory as View<object>, mixed)).to.deep.equal(expected(customerHistory as View<object>, log));
    }), runs);
  });
});

describe('a projector', () => {
  const log = logOf([customerStream('c-1', [{ type: 'RegisterCustomer', customerId: 'c-1', name: 'Ada', currency: 'EUR', creditLimitMinor: null }])]);

  it('stops its view when a handler fails, and says at which event', async () => {
    const broken: View<object> = { ...(customers as View<object>), on: { CustomerRegistered: () => { throw new Error('bug'); } } };
    const error = await project(broken, new MemoryViewStore(broken), [log.map(fed)]).catch((reason: unknown) => reason);
    expect(error).to.be.an('error').with.property('message', 'customers cannot apply CustomerRegistered at customers 1');
  });

  for (const [why, applied, epoch] of [['the log is another one', { 'customers/0': 1 }, 'before'], ['the log has less than was applied', { 'customers/0': 2_000_000 }, 'e']] as const) {
    it(`folds its view anew when ${why}`, async () => {
      const view = customers as View<object>;
      const store = new MemoryViewStore(view);
      await store.write([{ id: 'ghost', revision: 1, applied: {}, deleted: false, document: { customerId: 'ghost', name: 'x' } }], { applied, behindSince: null, checkedAt: '2026-01-01T00:00:00.000Z', epochs: { customers: epoch } });
      await project(view, store, [log.map(fed)]);
      expect([...(await documents(store, ['ghost', 'c-1'])).keys()]).to.deep.equal(['c-1']);
      expect((await store.progress())?.epochs).to.deep.equal({ customers: 'e' });
    });
  }
});
