import { expect } from 'chai';
import { createPartitionHeads } from '../../src/application/partition-heads.js';
import { sourceOf } from '../../src/application/partition.js';
import type { Progress } from '../../src/application/ports/event-feed.js';
import { createUnseen } from '../../src/application/unseen.js';
import { memoryApplication, request } from '../support/memory-application.js';
import { partitions } from '../support/events.js';

describe('what a view has not seen', () => {
  const checkedAt = '2026-02-03T04:05:06.000Z';
  const progress = (applied: Progress, behindSince: string | null = null) => ({ applied, behindSince, checkedAt, epochs: {} });
  async function registered(...ids: string[]) {
    const { customers, stores } = memoryApplication();
    for (const customerId of ids) await customers({ type: 'RegisterCustomer', customerId, name: customerId, currency: 'EUR', creditLimitMinor: null }, request());
    const { events } = await stores.customers.readLog({ after: 0, limit: 100 });
    const heads = { customers: createPartitionHeads(stores.customers, partitions), orders: createPartitionHeads(stores.orders, partitions) };
    const applied: Progress = Object.fromEntries(events.map((event) => [sourceOf(event, partitions), event.position]));
    return { events, applied, unseen: createUnseen({ stores, heads, partitions }) };
  }

  it('is nothing once every partition was applied', async () => {
    const { applied, unseen } = await registered('a', 'b', 'c');
    expect(await unseen(['customers', 'orders'], progress(applied))).to.deep.equal(progress(applied));
  });

  it('is the oldest event of a partition that nobody follows, although the others were applied', async () => {
    const { events, applied, unseen } = await registered('a', 'b', 'c', 'd');
    const left = sourceOf(events[1]!, partitions);
    const others = Object.fromEntries(Object.entries(applied).filter(([source]) => source !== left));
    expect(await unseen(['customers'], progress(others))).to.deep.equal(progress(others, events[1]!.recordedAt));
    // Of a context that the view is not folded from, nothing is missing.
    expect(await unseen(['orders'], progress(others))).to.deep.equal(progress(others));
  });

  it('is no younger than what the projector itself says', async () => {
    const { unseen } = await registered('a');
    const since = '2020-01-01T00:00:00.000Z';
    expect(await unseen(['customers'], progress({}, since))).to.deep.equal(progress({}, since));
  });

  it('is what the projector says where the log is not at hand', async () => {
    const unseen = createUnseen({ stores: {}, heads: {}, partitions });
    expect(await unseen(['customers'], progress({}))).to.deep.equal(progress({}));
  });
});
