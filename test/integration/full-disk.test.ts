import { expect } from 'chai';
import { eventCodec, upcasters } from '../../src/application/log/codec.js';
import { Rejection } from '../../src/domain/shared/rejection.js';
import { MemoryLogSignal } from '../../src/infrastructure/memory/memory-log-signal.js';
import { openDatabase, type Database } from '../../src/infrastructure/postgres/connection/database.js';
import { PostgresEventStore } from '../../src/infrastructure/postgres/log/postgres-event-store.js';
import { newEvent } from '../support/events.js';
import { failingTables, type FailingTables } from '../support/failing-tables.js';
import { freshDatabase, type TestDatabase } from '../support/postgres.js';
import { eventually, startService, type TestService } from '../support/service.js';

// The server answers, but the statement itself fails. A real full disk: npm run faults -- full-disk.

describe('a log that cannot be written', function () {
  this.timeout(60_000);
  let fresh: TestDatabase;
  let tables: FailingTables;
  let database: Database;
  let store: PostgresEventStore<'orders'>;
  beforeEach(async () => {
    fresh = await freshDatabase();
    tables = await failingTables(fresh.url);
    database = openDatabase(fresh.url, 'orders');
    store = new PostgresEventStore(database, 'orders', eventCodec(upcasters), new MemoryLogSignal(), { patienceMs: 1_000 });
  });
  afterEach(async () => {
    await Promise.all([tables.close(), database.close()]);
    await fresh.drop();
  });
  const append = (stream: string, expectedVersion = 0) => store.append({ stream, expectedVersion, events: [newEvent()] });
  const refusal = (work: Promise<unknown>) => work.then(() => 'nothing', (error: unknown) => {
    if (error instanceof Rejection) return { code: error.code, ...error.details };
    throw error;
  });

  for (const [sqlstate, facts] of [
    ['53100', { reason: 'the disk of the database is full', disk: 'full' }],
    ['53200', { reason: 'the database has no memory left (SQLSTATE 53200)' }],
    ['57014', { reason: 'the database cancelled the statement (SQLSTATE 57014)' }],
    ['58030', { reason: 'the database cannot read or write its files (SQLSTATE 58030)' }],
    ['25006', { reason: 'the database takes no changes: it is read-only (SQLSTATE 25006)' }],
  ] as const) {
    it(`refuses in time and says why, tries seldom, and recovers by itself: SQLSTATE ${sqlstate}`, async () => {
      await append('before');
      await tables.fail(['orders.events'], sqlstate);
      const began = performance.now();
      const refused = await Promise.all(Array.from({ length: 40 }, (_, n) => refusal(append(`s-${n}`))));
      expect(performance.now() - began).to.be.below(5_000);
      for (const one of refused) expect(one).to.deep.equal({ code: 'log.unavailable', ...facts, outcome: 'not-stored' });
      expect(await refusal(store.check())).to.deep.equal({ code: 'log.unavailable', ...facts });
      expect(await tables.failures(), 'attempts').to.be.within(2, 20);
      expect(await store.readStream('before')).to.have.length(1);

      await tables.recover();
      await store.check();
      expect((await append('before', 1)).status).to.equal('appended');
      expect((await store.head()).position).to.equal(2);
    });
  }

  it('keeps what waits through a short one', async () => {
    await tables.fail(['orders.events'], '53100');
    const waiting = Promise.all(Array.from({ length: 20 }, (_, n) => append(`s-${n}`)));
    await eventually('the log was tried', async () => await tables.failures() > 0, 5_000);
    await tables.recover();
    expect((await waiting).map(({ status }) => status)).to.deep.equal(Array.from({ length: 20 }, () => 'appended'));
  });
});

describe('a service whose database is full', function () {
  this.timeout(90_000);
  let fresh: TestDatabase;
  let tables: FailingTables;
  let service: TestService | undefined;
  beforeEach(async () => {
    fresh = await freshDatabase();
    tables = await failingTables(fresh.url);
    service = await startService({ PROFILE: 'embedded', DATABASE_URL: fresh.url });
  });
  afterEach(async () => {
    await tables.close();
    await service?.end();
    await fresh.drop();
  });
  const ask: TestService['ask'] = (...args) => service!.ask(...args);
  const register = (customerId: string, headers = {}) => ask('POST', '/customers', { customerId, name: customerId, currency: 'EUR', creditLimitMinor: null }, headers);
  const ready = async () => (await ask('GET', '/health/ready')).body;
  const order = (orderId: string) => ask('POST', '/orders', { orderId, customerId: 'ada', currency: 'EUR', lines: [{ sku: 's', name: 'S', quantity: 1, unitPriceMinor: 1 }] });
  const component = async (name: string) => (await ready()).components.find((one: { name: string }) => one.name === name);

  it('answers commands with 507 in time, says so in its readiness, answers queries, and goes on by itself', async () => {
    await register('ada');
    await tables.fail(['customers.events', 'customers.commands'], '53100');
    const began = performance.now();
    const refused = await Promise.all([register('bob'), register('eve', { prefer: 'respond-async' })]);
    expect(performance.now() - began).to.be.below(9_000);
    for (const { status, body, headers } of refused) {
      expect([status, body.type, body.disk, headers.get('retry-after')]).to.deep.equal([507, '/problems/log.unavailable', 'full', '2']);
    }
    const { status, headers, body } = await ask('GET', '/health/ready');
    expect([status, headers.get('retry-after')]).to.deep.equal([503, '2']);
    expect(body.components.find(({ name }: { name: string }) => name === 'log of customers')).to.deep.include({ status: 'down', error: 'log.unavailable: the disk of the database is full' });
    expect((await ask('GET', '/customers/ada')).status).to.equal(200);

    await tables.recover();
    await eventually('it is ready', async () => (await ready()).status === 'ready');
    expect((await register('bob')).status).to.equal(201);
    expect((await register('eve', { prefer: 'respond-async' })).status).to.equal(202);
  });

  it('stops a view or a policy alone, says why, and lets it catch up by itself', async () => {
    await register('ada');
    await eventually('orders knows the customer', async () => (await order('o-1')).status === 201);
    await eventually('the order is decided', async () => (await ask('GET', '/orders/o-1')).body.status === 'approved');
    await tables.fail(['views.orders_r1', 'customers.checkpoints'], '53100');
    expect((await order('o-2')).status).to.equal(201);
    for (const name of ['projector orders', 'policy hold-or-release-credit']) {
      const said = await eventually(`${name} says that it is down`, async () => { const one = await component(name); return one.status === 'down' && one; });
      expect(said.error, name).to.include('the disk of the database is full');
    }
    expect((await ready()).status).to.equal('degraded');
    expect((await ask('GET', '/orders/o-2')).status).to.equal(404);
    await tables.recover();
    await eventually('the order is in the view, and decided', async () => (await ask('GET', '/orders/o-2')).body.status === 'approved', 20_000);
    await eventually('it is ready', async () => (await ready()).status === 'ready', 20_000);
  });
});
