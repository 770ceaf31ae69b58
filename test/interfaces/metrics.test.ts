import { expect } from 'chai';
import { createMetrics } from '../../src/interfaces/http/server/metrics.js';
import { startService, type TestService } from '../support/service.js';

describe('metrics', () => {
  const view = { name: 'orders', revision: 1, progress: { applied: { 'orders/0': 7 }, behindSince: null, checkedAt: '2026-01-01T00:00:00.000Z', epochs: {} }, lagMs: 1_500 };
  const relay = { context: 'orders' as const, published: { 'orders/0': 9 }, position: 9, behindSince: null, lagMs: 250 };
  const linesOf = (text: string) => text.split('\n').filter((line) => /^orderfold_(view|relay|orders)_/.test(line));

  it('say how far the views and relays are, and how far behind', async () => {
    expect(linesOf(await createMetrics().render({ views: [view], relays: [relay], waitingOrders: 3, queuedCommands: new Map() }))).to.have.members([
      'orderfold_view_position{view="orders",source="orders/0"} 7', 'orderfold_view_lag_seconds{view="orders"} 1.5',
      'orderfold_relay_position{source="orders/0"} 9', 'orderfold_relay_lag_seconds{context="orders"} 0.25',
      'orderfold_orders_waiting_for_credit 3',
    ]);
  });

  it('forget what is not known any more: a relay that others lead, a view whose store is away', async () => {
    const metrics = createMetrics();
    await metrics.render({ views: [view], relays: [relay], waitingOrders: 3, queuedCommands: new Map() });
    expect(linesOf(await metrics.render({ views: [{ ...view, progress: undefined, lagMs: undefined }], relays: [], waitingOrders: undefined, queuedCommands: new Map() }))).to.deep.equal([]);
    expect(linesOf(await metrics.render({ views: [view], relays: [], waitingOrders: 0, queuedCommands: new Map() }))).to.include.members(['orderfold_view_lag_seconds{view="orders"} 1.5', 'orderfold_orders_waiting_for_credit 0']);
  });
});

describe('a relay whose Kafka is away', function () {
  this.timeout(30_000);
  let service: TestService;
  beforeEach(async () => { service = await startService({ FEED: 'kafka', KAFKA_BROKERS: '127.0.0.1:1' }); });
  afterEach(() => service.end());

  it('reports its growing lag all the time, between its attempts as well', async () => {
    await service.ask('POST', '/customers', { name: 'Ada', currency: 'EUR' });
    const failed = async () => (await service.ask('GET', '/health/ready')).body.components.some(({ name, status }: { name: string; status: string }) => name === 'relay customers' && status === 'down');
    const lag = async () => ((await service.ask('GET', '/ops/relay')).body.items as { context: string; lagMs: number }[]).find(({ context }) => context === 'customers')?.lagMs;
    // It fails before there is anything to publish: until it looks again, how far it is behind is not known.
    while (!await failed() || typeof await lag() !== 'number') await new Promise((resolve) => setTimeout(resolve, 10));
    const lags: (number | undefined)[] = [];
    for (let failures = 0; failures < 3 || lags.length < 100;) {
      if (await failed()) failures++;
      lags.push(await lag());
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    expect(lags).not.to.include(undefined);
    expect(lags).to.deep.equal([...lags].sort((a, b) => a! - b!));
    expect(lags[0]).to.be.greaterThan(0);
    const { text } = await service.ask('GET', '/metrics');
    expect(Number(/^orderfold_relay_lag_seconds\{context="customers"\} (\S+)$/m.exec(text)?.[1])).to.be.at.least(lags.at(-1)! / 1_000);
  });
});
