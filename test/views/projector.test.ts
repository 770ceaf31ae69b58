import { expect } from 'chai';
import { eventCodec, upcasters } from '../../src/application/log/codec.js';
import type { ViewStore } from '../../src/application/ports/view-store.js';
import { orders, type OrderDocument } from '../../src/application/views/index.js';
import { runProjector } from '../../src/application/views/projector.js';
import { supervise, type WorkerStatus } from '../../src/application/concurrency/supervisor.js';
import { LogFeed } from '../../src/application/log/log-feed.js';
import { MemoryEventStore } from '../../src/infrastructure/memory/memory-event-store.js';
import { MemoryLeadership } from '../../src/infrastructure/memory/memory-leadership.js';
import { MemoryLogSignal } from '../../src/infrastructure/memory/memory-log-signal.js';
import { MemoryViewStore } from '../../src/infrastructure/memory/memory-view-store.js';
import { clock, newEvent, partitions, quiet } from '../support/events.js';
import { eventually } from '../support/service.js';

describe('a projector whose view is set back under it', function () {
  this.timeout(20_000);
  const signal = new MemoryLogSignal();
  let log: MemoryEventStore<'orders'>;
  let current: MemoryViewStore<OrderDocument>;
  let stop: AbortController;
  let running: Promise<unknown>[];
  beforeEach(() => {
    log = new MemoryEventStore('orders', eventCodec(upcasters), signal);
    stop = new AbortController();
    running = [];
  });
  afterEach(async () => {
    stop.abort();
    await Promise.all(running);
  });

  const place = async (from: number, to: number) => {
    for (let n = from; n <= to; n++) {
      await log.append({
        stream: `order-${n}`, expectedVersion: 0,
        events: [newEvent({ type: 'OrderPlaced', orderId: `o-${n}`, customerId: `c-${n}`, customerName: 'Ada', currency: 'EUR', lines: [], shippingMinor: 0, subtotalMinor: 0, totalMinor: 0, at: '2026-01-01T00:00:00.000Z' } as never)],
      });
    }
  };
  /** What the projector has is always the store that is current. */
  const store: ViewStore<OrderDocument> = {
    read: (...args) => current.read(...args), write: (...args) => current.write(...args), progress: () => current.progress(), find: (...args) => current.find(...args), reset: () => current.reset(),
  };
  const count = async (of = current) => (await of.find({ where: [], sort: { field: 'placedAt', descending: false }, limit: 1 })).total;
  function project(into: ViewStore<OrderDocument>, until: AbortSignal): WorkerStatus {
    const status: WorkerStatus = { name: 'projector orders', state: 'standby' };
    running.push(supervise(status, { leadership: new MemoryLeadership(), logger: quiet }, until,
      (ends) => runProjector(orders, { store: into, feed: new LogFeed({ orders: log }, signal, partitions), stores: { orders: log }, clock, logger: quiet }, ends)));
    return status;
  }

  for (const [why, places] of [['by a crash of its server that lost the last writes', 3], ['by another process that emptied it', 0]] as const) {
    it(`${why} begins again with what is stored, although nothing new happens`, async () => {
      await place(1, places);
      const old = current = new MemoryViewStore(orders);
      const first = new AbortController();
      project(old, first.signal);
      await eventually('the first orders are shown', async () => await count(old) === places);
      first.abort();
      await Promise.all(running);
      current = new MemoryViewStore(orders);
      await place(places + 1, 10);
      project(store, stop.signal);
      await eventually('every order is shown', async () => await count() === 10);
      current = old;
      await eventually('every order is shown again', async () => await count() === 10);
      expect(Math.max(...Object.values((await store.progress())!.applied) as number[])).to.equal(10);
    });
  }
});
