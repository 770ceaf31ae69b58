import { expect } from 'chai';
import type { EventFeed, FeedBatch, Progress } from '../../src/application/ports/event-feed.js';
import type { EventStores } from '../../src/application/ports/event-store.js';
import { sourceOf } from '../../src/application/log/partition.js';
import type { Context } from '../../src/domain/events.js';
import { newEvent, partitions } from '../support/events.js';

/** What every EventFeed promises. `stores` are the logs that it carries the events of. */
export function eventFeedContract(adapter: string, open: () => Promise<{ feed: EventFeed; stores: EventStores; /** Resolves when the feed has been given all that is in the logs. */ given?: () => Promise<void>; close: () => Promise<void> }>) {
  describe(`EventFeed contract: ${adapter}`, function () {
    this.timeout(30_000);
    let feed: EventFeed;
    let stores: EventStores;
    let given: (() => Promise<void>) | undefined;
    let close: () => Promise<void>;
    beforeEach(async () => { ({ feed, stores, given, close } = await open()); });
    afterEach(() => close());

    const place = (n: number) => stores.orders.append({
      stream: `order-${n}`, expectedVersion: 0, events: [newEvent({ type: 'OrderApproved', orderId: `o-${n}`, customerId: `c-${n % 30}`, at: '2026-01-01T00:00:00.000Z' })],
    });
    const register = (n: number) => stores.customers.append({
      stream: `customer-${n}`, expectedVersion: 0,
      events: [{ ...newEvent(), data: { type: 'CustomerReactivated', customerId: `c-${n}`, at: '2026-01-01T00:00:00.000Z' } }],
    });

    /** Follows until `enough` says so; what was delivered, in order. */
    async function follow(contexts: readonly Context[], start: Progress, enough: (batches: FeedBatch[]) => boolean, onBatch: (batch: FeedBatch) => Promise<void> = async () => undefined) {
      const stop = new AbortController();
      const batches: FeedBatch[] = [];
      await feed.run({
        group: `test-${Math.random()}`, contexts, reached: async () => start,
        async onBatch(batch) {
          await onBatch(batch);
          batches.push(batch);
          if (enough(batches)) stop.abort();
        },
      }, stop.signal);
      return batches;
    }
    const count = (batches: readonly FeedBatch[]) => batches.reduce((total, { events }) => total + events.length, 0);

    it('delivers every event, in order per source, with its source', async () => {
      await Promise.all(Array.from({ length: 100 }, (_, n) => place(n)));
      const batches = await follow(['orders'], {}, (all) => count(all) >= 100);
      const events = batches.flatMap((batch) => batch.events);
      expect(new Set(events.map(({ event }) => event.position)).size).to.equal(100);
      for (const { source, event } of events) expect(source).to.equal(sourceOf(event, partitions));
      const last = new Map<string, number>();
      for (const { source, event } of events) {
        expect(event.position).to.be.greaterThan(last.get(source) ?? 0);
        last.set(source, event.position);
      }
      const reached = batches.at(-1)!.progress;
      for (const [source, position] of last) expect(reached[source as 'orders/0']).to.be.at.least(position);
    });

    it('goes on behind a progress, and delivers what comes later', async () => {
      await Promise.all(Array.from({ length: 20 }, (_, n) => place(n)));
      const before = (await follow(['orders'], {}, (all) => count(all) >= 20)).at(-1)!.progress;
      setTimeout(() => { void place(20); }, 50);
      const later = await follow(['orders'], before, (all) => all.some(({ events }) => events.some(({ event }) => event.stream === 'order-20')));
      expect(later.flatMap(({ events }) => events.map(({ event }) => event.stream))).to.deep.equal(['order-20']);
    });

    it('says at the end that nothing is newer, at least every second or so', async () => {
      await place(0);
      const began = Date.now();
      const batches = await follow(['orders'], {}, (all) => all.filter(({ events }) => events.length === 0).length >= 2);
      expect(batches.at(-1)?.behindSince).to.equal(null);
      expect(Date.now() - began).to.be.below(5_000);
    });

    it('says since when it is behind', async () => {
      for (let chunk = 0; chunk < 11; chunk++) await Promise.all(Array.from({ length: 500 }, (_, n) => place(chunk * 500 + n)));
      await given?.();
      const batches = await follow(['orders'], {}, (all) => count(all) >= 5_500 && all.at(-1)?.behindSince === null);
      expect(batches.length).to.be.greaterThan(1);
      const missing = new Map((await stores.orders.readLog({ after: 0, limit: 10_000 })).events.map(({ position, recordedAt }) => [position, recordedAt]));
      let delivered = '';
      for (const { events, behindSince } of batches) {
        for (const { event } of events) missing.delete(event.position);
        if (delivered === '') delivered = events.map(({ event }) => event.recordedAt).sort()[0] ?? '';
        const oldest = [...missing.values()].sort()[0] ?? null;
        if (behindSince === null || oldest === null) expect(behindSince).to.equal(oldest);
        else expect(behindSince >= delivered && behindSince <= oldest, `${delivered} ${behindSince} ${oldest}`).to.equal(true);
      }
    });

    it('carries several contexts, one batch at a time', async () => {
      await Promise.all(Array.from({ length: 50 }, (_, n) => Promise.all([place(n), register(n)])));
      let open = 0;
      const batches = await follow(['customers', 'orders'], {}, (all) => count(all) >= 100, async () => {
        expect(++open).to.equal(1);
        await new Promise((resolve) => setTimeout(resolve, 5));
        open--;
      });
      const contexts = batches.flatMap(({ events }) => events.map(({ event }) => event.context));
      expect(contexts.filter((context) => context === 'customers')).to.have.length(50);
    });

    it('stops with the error of its subscriber, and delivers the batch again later', async () => {
      await place(0);
      const error = await follow(['orders'], {}, () => false, async () => { throw new Error('broken'); }).catch((reason: unknown) => reason);
      expect(error).to.be.an('error').with.property('message', 'broken');
      expect(count(await follow(['orders'], {}, (all) => count(all) >= 1))).to.equal(1);
    });

    it('delivers each event once to a reader that follows while many append', async () => {
      const writers = Promise.all(Array.from({ length: 8 }, async (_, lane) => { for (let n = 0; n < 40; n++) await place(lane * 1_000 + n); }));
      const batches = await follow(['orders'], {}, (all) => count(all) >= 320);
      await writers;
      const positions = batches.flatMap(({ events }) => events.map(({ event }) => event.position));
      expect(positions.sort((a, b) => a - b)).to.deep.equal(Array.from({ length: 320 }, (_, n) => n + 1));
    });
  });
}
