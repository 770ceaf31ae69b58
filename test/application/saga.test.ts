import { expect } from 'chai';
import sinon from 'sinon';
import type { FeedBatch } from '../../src/application/ports/event-feed.js';
import { decideOrder, holdOrReleaseCredit, runPolicy } from '../../src/application/policies/index.js';
import { sourceOf } from '../../src/application/log/partition.js';
import { supervise, type WorkerStatus } from '../../src/application/concurrency/supervisor.js';
import { MemoryLeadership } from '../../src/infrastructure/memory/memory-leadership.js';
import type { OrderCommandRequest } from '../../src/application/orders/order-commands.js';
import { Rejection } from '../../src/domain/shared/rejection.js';
import { partitions, quiet } from '../support/events.js';
import { memoryApplication, request } from '../support/memory-application.js';

const lines = [{ sku: 'a', name: 'Chair', quantity: 1, unitPriceMinor: 600 }];
const place = (orderId: string): OrderCommandRequest => ({ type: 'PlaceOrder', orderId, customerId: 'ada', currency: 'EUR', lines });

describe('the credit saga', () => {
  let app: ReturnType<typeof memoryApplication>;
  let stop: AbortController;
  let running: Promise<unknown>;
  beforeEach(async () => {
    app = memoryApplication();
    stop = new AbortController();
    running = app.run(stop.signal);
    const registered = await app.customers({ type: 'RegisterCustomer', customerId: 'ada', name: 'Ada', currency: 'EUR', creditLimitMinor: 1_000 }, request());
    seen = { tokens: [registered], waitMs: 2_000 };
  });
  afterEach(async () => {
    sinon.restore();
    stop.abort();
    await running;
  });
  let seen: { tokens: { context: 'customers' | 'orders'; position: number; partition: number }[]; waitMs: number };

  const types = async (context: 'customers' | 'orders', stream: string) => (await app.stores[context].readStream(stream)).map(({ data }) => data.type);
  async function until(context: 'customers' | 'orders', stream: string, type: string) {
    for (const deadline = Date.now() + 2_000; !(await types(context, stream)).includes(type as never);) {
      if (Date.now() > deadline) throw new Error(`${stream} has only ${(await types(context, stream)).join(', ')}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  it('approves an order whose credit is reserved, in the order\'s own time and under its correlation', async () => {
    await app.orders(place('o-1'), request({ correlationId: 'mine', traceparent: '00-1-1-01' }), seen);
    await until('orders', 'order-o-1', 'OrderApproved');
    const [placed, approved] = await app.stores.orders.readStream('order-o-1');
    const reserved = (await app.stores.customers.readStream('customer-ada')).at(-1);
    expect(approved?.data.at).to.equal(placed?.data.at);
    expect([reserved, approved].map((event) => event?.metadata.correlationId)).to.deep.equal(['mine', 'mine']);
    expect([reserved?.metadata.causationId, approved?.metadata.causationId]).to.deep.equal([placed?.metadata.id, reserved?.metadata.id]);
    expect([reserved, approved].map((event) => event?.metadata.principal)).to.deep.equal(['policy:hold-or-release-credit', 'policy:decide-order']);
  });

  it('rejects an order above the limit, and approves the next one once the first is paid', async () => {
    await app.orders(place('o-1'), request(), seen);
    await app.orders(place('o-2'), request(), seen);
    await until('orders', 'order-o-2', 'OrderRejected');
    await app.orders({ type: 'PayOrder', orderId: 'o-1', paymentReference: 'p' }, request());
    await until('customers', 'customer-ada', 'CreditReleased');
    await app.orders(place('o-3'), request(), seen);
    await until('orders', 'order-o-3', 'OrderApproved');
  });

  it('gives the credit of a cancelled order back, even when it was cancelled before the decision', async () => {
    await app.orders(place('o-1'), request(), seen);
    await app.orders({ type: 'CancelOrder', orderId: 'o-1', reason: 'no' }, request());
    await until('customers', 'customer-ada', 'CreditReleased');
    expect(await types('customers', 'customer-ada')).to.deep.equal(['CustomerRegistered', 'CreditReserved', 'CreditReleased']);
    await app.customers({ type: 'CloseCustomer', customerId: 'ada', reason: 'moved' }, request());
    expect((await types('orders', 'order-o-1')).at(-1)).to.equal('OrderCancelled');
  });

  it('refuses an order of a customer that the copy knows as suspended, and rejects one that slipped through', async () => {
    await app.orders(place('o-0'), request(), seen);
    const suspended = await app.customers({ type: 'SuspendCustomer', customerId: 'ada', reason: 'late' }, request());
    const error = await app.orders(place('o-1'), request(), { tokens: [suspended], waitMs: 2_000 }).catch((reason: unknown) => reason);
    expect(error).to.be.instanceOf(Rejection).with.property('code', 'customer.suspended');
    const known = (await app.copy.read(['ada'])).get('ada')!;
    sinon.stub(app.copy, 'read').resolves(new Map([['ada', { ...known, document: { ...known.document, status: 'active' } }]]));
    await app.orders(place('o-2'), request());
    await until('orders', 'order-o-2', 'OrderRejected');
  });

  it('refuses an order that comes too early for the copy, unless it waits', async () => {
    const error = await app.orders({ ...place('o-1'), customerId: 'nobody' } as OrderCommandRequest, request()).catch((reason: unknown) => reason);
    expect(error).to.be.instanceOf(Rejection).with.property('code', 'customer.unknown');
    const late = await app.orders(place('o-2'), request(), { tokens: [{ context: 'customers', position: 99, partition: 2 }], waitMs: 20 }).catch((reason: unknown) => reason);
    expect(late).to.be.instanceOf(Rejection).with.property('code', 'view.behind');
    expect((await app.orders(place('o-3'), request(), { tokens: [{ context: 'orders', position: 99, partition: 2 }, ...seen.tokens], waitMs: 2_000 })).version).to.equal(1);
  });
});

describe('a policy', () => {
  async function batchOf(app: ReturnType<typeof memoryApplication>): Promise<FeedBatch> {
    const { events, next } = await app.stores.orders.readLog({ after: 0, limit: 100 });
    return { events: events.map((event) => ({ source: sourceOf(event, partitions), event })), progress: { 'orders/2': next }, behindSince: null, epochs: {} };
  }
  const feedOf = (...batches: FeedBatch[]) => ({ shared: false, run: async ({ onBatch }: { onBatch(batch: FeedBatch): Promise<void> }) => { for (const batch of batches) await onBatch(batch); } });
  const never = new AbortController().signal;

  async function withOrders() {
    const app = memoryApplication();
    await app.customers({ type: 'RegisterCustomer', customerId: 'ada', name: 'Ada', currency: 'EUR', creditLimitMinor: null }, request());
    sinon.stub(app.copy, 'read').resolves(new Map([['ada', { id: 'ada', revision: 1, applied: {}, deleted: false, document: { customerId: 'ada', name: 'Ada', status: 'active', currency: 'EUR', nameVersion: 1, statusVersion: 1 } }]]));
    await app.orders(place('o-1'), request());
    await app.orders({ type: 'CancelOrder', orderId: 'o-1', reason: 'no' }, request());
    await app.orders(place('o-2'), request());
    return app;
  }
  afterEach(() => { sinon.restore(); });

  it('applies each event once, however often it is delivered, and never releases before it reserves', async () => {
    const app = await withOrders();
    const batch = await batchOf(app);
    const half: FeedBatch = { ...batch, events: batch.events.slice(0, 2), progress: { 'orders/2': 2 } };
    await runPolicy(holdOrReleaseCredit, { feed: feedOf(half, batch, { ...batch, events: [] }, batch), checkpoints: app.checkpoints.customers, handle: app.customers, logger: quiet }, never);
    const { events } = await app.stores.customers.readLog({ after: 1, limit: 10 });
    expect(events.map(({ data }) => [data.type, 'orderId' in data ? data.orderId : ''])).to.deep.equal([['CreditReserved', 'o-1'], ['CreditReleased', 'o-1'], ['CreditReserved', 'o-2']]);
    expect(await app.checkpoints.customers.load('hold-or-release-credit')).to.deep.equal({ 'orders/2': 3 });
  });

  it('does nothing again that its checkpoint covers, when another feed begins at its slowest partition', async () => {
    const app = await withOrders();
    const events = (await app.stores.orders.readLog({ after: 0, limit: 100 })).events;
    // As the feed from Kafka leaves it: partitions in which nothing has happened are not there.
    await app.checkpoints.customers.save('hold-or-release-credit', { [sourceOf(events[0]!, partitions)]: 2 });
    const asked: string[] = [];
    const stop = new AbortController();
    const handle = async (command: { type: string; orderId?: string }) => {
      asked.push(`${command.type} ${command.orderId ?? ''}`);
      stop.abort();
      return {} as never;
    };
    await runPolicy(holdOrReleaseCredit, { feed: app.feed, checkpoints: app.checkpoints.customers, handle, logger: quiet }, stop.signal);
    expect(asked).to.deep.equal(['ReserveCredit o-2']);
  });

  it('fails with an outage, so that the batch comes again', async () => {
    const app = await withOrders();
    const batch = await batchOf(app);
    const handle = sinon.stub().rejects(new Rejection('log.unavailable'));
    const error = await runPolicy(holdOrReleaseCredit, { feed: feedOf(batch), checkpoints: app.checkpoints.customers, handle, logger: quiet }, never).catch((reason: unknown) => reason);
    expect(error).to.be.instanceOf(Rejection).with.property('code', 'log.unavailable');
    expect(await app.checkpoints.customers.load('hold-or-release-credit')).to.deep.equal({});
  });

  it('reports a command that is refused, and goes on', async () => {
    const app = await withOrders();
    const error = sinon.spy();
    const event = { source: 'customers/2', event: { ...(await batchOf(app)).events[0]!.event, context: 'customers', data: { type: 'CreditReserved', customerId: 'ada', orderId: 'nobody', amountMinor: 1, at: '2026-01-01T00:00:00.000Z' } } } as const;
    await runPolicy(decideOrder, { feed: feedOf({ events: [event], progress: { 'customers/2': 1 }, behindSince: null, epochs: {} }), checkpoints: app.checkpoints.orders, handle: app.orders, logger: { ...quiet, error } }, never);
    expect(error.firstCall.args[0]).to.include({ policy: 'decide-order', code: 'order.unknown' });
    expect(await app.checkpoints.orders.load('decide-order')).to.deep.equal({ 'customers/2': 1 });
  });
});

describe('a supervised worker', () => {
  it('is tried again after a failure, and says how it is', async () => {
    const stop = new AbortController();
    const status: WorkerStatus = { name: 'w', state: 'standby' };
    const seen: string[] = [];
    let tries = 0;
    await supervise(status, { leadership: new MemoryLeadership(), logger: { ...quiet, error: () => { seen.push(`${status.state} ${status.error ?? ''}`); } } }, stop.signal, async () => {
      seen.push(status.state);
      if (++tries < 2) throw new Error('broken');
      if (tries === 2) await Promise.reject('not even an error');
      stop.abort();
    });
    expect(seen).to.deep.equal(['running', 'failing broken', 'running', 'failing not even an error', 'running']);
    expect(status).to.deep.equal({ name: 'w', state: 'stopped' });
  });
});
