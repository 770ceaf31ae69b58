import { rm } from 'node:fs/promises';
import { expect } from 'chai';
import pg from 'pg';
import type { Context } from '../../src/domain/events.js';
import { connectKafka } from '../../src/infrastructure/kafka/server/kafka-client.js';
import { serve, type Environment, type Running } from '../support/cli.js';
import { kafkaConfig, notRun } from '../support/infra.js';
import { installation, type Installation } from '../support/installation.js';
import { differencesFromLog, wholeLog } from '../support/naive-fold.js';
import { freshDatabase, temporaryDirectory, type TestDatabase } from '../support/postgres.js';
import { ask, askAll, eventually } from '../support/service.js';

const pair = installation('pair');
const crowd = installation('crowd');
if (pair === undefined || crowd === undefined) notRun('several processes that meet in Kafka');
else {
  describe('a customers service and an orders service', () => { twoServices(pair); });
  describe('several instances of each role', () => { severalInstances(crowd); });
}

const lines = (unitPriceMinor = 100) => [{ sku: 's', name: 'S', quantity: 1, unitPriceMinor }];

function twoServices({ settings, forget }: Installation): void {
  let databases: Record<Context, TestDatabase>;
  let directory: string;
  const running: Partial<Record<Context, Running>> = {};
  const early = Array.from({ length: 40 }, (_, n) => ({ customerId: `early-${n}`, fate: (['active', 'suspended', 'renamed', 'closed'] as const)[n % 4]! }));

  const customers = (method: string, path: string, body?: object) => ask(running.customers!.url, method, path, body);
  const register = (customerId: string, rest: object = {}) => customers('POST', '/customers', { customerId, name: `Name of ${customerId}`, currency: 'EUR', ...rest });
  const orders = (method: string, path: string, body?: object, headers?: Record<string, string>) => ask(running.orders!.url, method, path, body, headers);
  const place = (orderId: string, customerId: string, { unitPriceMinor = 100, token = '' } = {}) =>
    orders('POST', '/orders', { orderId, customerId, currency: 'EUR', lines: lines(unitPriceMinor) }, token === '' ? {} : { 'consistency-token': token });
  const decided = (orderId: string) => eventually(`${orderId} is decided`, async () => {
    const { status, body } = await orders('GET', `/orders/${orderId}`);
    return status === 200 && body.status !== 'placed' && body.status as string;
  });
  /** Asks for another order until it is answered so. */
  const answered = (what: string, customerId: string, expected: string) => eventually(what, async () => {
    const { status, body } = await orders('POST', '/orders', { customerId, currency: 'EUR', lines: lines() });
    return (status === 201 ? 'placed' : body.type) === expected;
  });

  before(async function () {
    this.timeout(60_000);
    databases = { customers: await freshDatabase({ migrated: false }), orders: await freshDatabase({ migrated: false }) };
    directory = await temporaryDirectory();
    running.customers = await serve({ ...settings, DATA_DIR: directory, CUSTOMERS_DATABASE_URL: databases.customers.url }, '--contexts', 'customers');
    for (const { customerId, fate } of early) {
      await register(customerId);
      if (fate === 'suspended') await customers('POST', `/customers/${customerId}/suspend`, { reason: 'r' });
      if (fate === 'closed') await customers('POST', `/customers/${customerId}/close`, { reason: 'r' });
      if (fate === 'renamed') await customers('PATCH', `/customers/${customerId}`, { name: 'Renamed' });
    }
    running.orders = await serve({ ...settings, DATA_DIR: directory, ORDERS_DATABASE_URL: databases.orders.url }, '--contexts', 'orders');
  });
  after(async function () {
    this.timeout(60_000);
    await Promise.all(Object.values(running).map((one) => one.stop()));
    await forget();
    await Promise.all(Object.values(databases).map((one) => one.drop()));
    await rm(directory, { recursive: true, force: true });
  });

  it('learns every customer from the topic when the orders service joins later', async function () {
    this.timeout(60_000);
    const expected = { active: 'placed', renamed: 'placed', suspended: '/problems/customer.suspended', closed: '/problems/customer.closed' };
    for (const { customerId, fate } of early) await answered(`${customerId} is known as ${fate}`, customerId, expected[fate]);
    const renamed = early.find(({ fate }) => fate === 'renamed')!.customerId;
    const { body } = await place('for-renamed', renamed);
    expect((await orders('GET', '/orders/for-renamed', undefined, { 'consistency-token': `orders:${body.position}:0` })).status).to.be.oneOf([200, 503]);
    await decided('for-renamed');
    expect((await orders('GET', '/orders/for-renamed')).body.customerName).to.equal('Renamed');
  });

  it('lets a customer who was registered at one order at the other', async function () {
    this.timeout(60_000);
    const began: Promise<number>[] = [];
    for (let n = 0; n < 200; n++) {
      const customerId = `new-${n}`;
      expect((await register(customerId)).status).to.equal(201);
      const registered = performance.now();
      began.push(eventually(`${customerId} can order`, async () => {
        const { status, body } = await place(`first-${n}`, customerId);
        if (status !== 201) expect(body.type).to.equal('/problems/customer.unknown');
        return status === 201;
      }, 10_000, 10).then(() => performance.now() - registered));
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const waits = (await Promise.all(began)).sort((a, b) => a - b);
    const at = (share: number) => `${Math.round(waits[Math.ceil(waits.length * share) - 1] ?? 0)} ms`;
    console.log(`      from a registration to the first accepted order: p50 ${at(0.5)}, p95 ${at(0.95)}, p99 ${at(0.99)}, at most ${at(1)}`);
  });

  it('waits for the copy when an order brings the Consistency-Token of the registration', async () => {
    for (let n = 0; n < 20; n++) {
      const registered = await register(`token-${n}`);
      const placed = await place(`token-${n}`, `token-${n}`, { token: registered.headers.get('consistency-token')! });
      expect(placed.status, placed.text).to.equal(201);
    }
  }).timeout(20_000);

  it('decides over an order\'s credit in both, and gives it back', async () => {
    const { headers } = await register('credit', { creditLimitMinor: 1_000 });
    const token = headers.get('consistency-token')!;
    await place('credit-1', 'credit', { unitPriceMinor: 800, token });
    expect(await decided('credit-1')).to.equal('approved');
    await place('credit-2', 'credit', { unitPriceMinor: 300 });
    expect(await decided('credit-2')).to.equal('rejected');
    expect((await customers('POST', '/customers/credit/close', { reason: 'r' })).body.type).to.equal('/problems/customer.has-open-orders');
    await orders('POST', '/orders/credit-1/cancel', { reason: 'changed my mind' });
    await eventually('the credit is back', async () => (await customers('GET', '/customers/credit')).body.reservedMinor === 0);
    await place('credit-3', 'credit', { unitPriceMinor: 1_000 });
    expect(await decided('credit-3')).to.equal('approved');
    const history = await eventually('the history has both', async () => {
      const { body } = await customers('GET', '/customers/credit/history');
      return body.orders?.approved === 2 && body;
    });
    expect(history.orders).to.include({ placed: 3, approved: 2, rejected: 1, cancelled: 1 });
    expect(history.spentMinor).to.equal(1_000);
  }).timeout(30_000);

  it('refuses here who was suspended or closed there, and shows the name that was changed there', async () => {
    const { headers } = await register('moody');
    expect((await place('moody-1', 'moody', { token: headers.get('consistency-token')! })).status).to.equal(201);
    await customers('PATCH', '/customers/moody', { name: 'Cheerful' });
    await customers('POST', '/customers/moody/suspend', { reason: 'does not pay' });
    await answered('suspended', 'moody', '/problems/customer.suspended');
    await customers('POST', '/customers/moody/reactivate', {});
    await answered('reactivated', 'moody', 'placed');
    await place('moody-2', 'moody');
    await decided('moody-2');
    expect((await orders('GET', '/orders/moody-1')).body.customerName).to.equal('Name of moody');
    expect((await orders('GET', '/orders/moody-2')).body.customerName).to.equal('Cheerful');
    await register('leaving');
    await answered('known', 'leaving', 'placed');
    const open = await eventually('the order is listed', async () => { const found = await askAll(running.orders!.url, '/orders?customerId=leaving'); return found.length > 0 && found; });
    for (const { orderId } of open) await orders('POST', `/orders/${orderId}/cancel`, { reason: 'r' });
    await eventually('leaving is closed', async () => (await customers('POST', '/customers/leaving/close', { reason: 'moved' })).status === 200);
    await answered('closed', 'leaving', '/problems/customer.closed');
  }).timeout(30_000);

  it('keeps to its own database: the orders service has a copy of what it needs of a customer, and nothing more', async () => {
    const tables = async (context: Context) => {
      const client = new pg.Client({ connectionString: databases[context].url });
      await client.connect();
      try {
        const { rows } = await client.query<{ name: string }>("select schemaname || '.' || tablename as name from pg_tables where schemaname not in ('pg_catalog', 'information_schema') order by 1");
        const { rows: copies } = context === 'orders' ? await client.query<{ document: object }>('select document from orders.order_customers_r2 limit 1') : { rows: [] };
        return { names: rows.map(({ name }) => name), copy: copies[0]?.document };
      } finally {
        await client.end();
      }
    };
    const own = await tables('orders');
    expect(own.names.filter((name) => !name.startsWith('orders.'))).to.deep.equal([]);
    expect(own.names.filter((name) => name.includes('customer'))).to.deep.equal(['orders.order_customers_r2']);
    expect(Object.keys(own.copy ?? {})).to.have.members(['customerId', 'name', 'status', 'currency', 'nameVersion', 'statusVersion']);
    const others = await tables('customers');
    expect(others.names.filter((name) => !name.startsWith('customers.') || name.includes('order'))).to.deep.equal([]);
  });

  it('answers for its own context only', async () => {
    for (const path of ['/customers', '/customers/early-0', '/customers/early-0/history']) expect((await orders('GET', path)).body.type).to.equal('/problems/route.unknown');
    expect((await orders('POST', '/customers', { name: 'X', currency: 'EUR' })).status).to.equal(404);
    for (const path of ['/orders', '/orders/first-0', '/ops/sagas']) expect((await customers('GET', path)).body.type).to.equal('/problems/route.unknown');
    const paths = async (asked: typeof orders) => Object.keys((await asked('GET', '/openapi.json')).body.paths as object);
    expect((await paths(orders)).filter((path) => path.startsWith('/customers'))).to.deep.equal([]);
    expect((await paths(customers)).filter((path) => path.startsWith('/orders'))).to.deep.equal([]);
    const views = async (asked: typeof orders) => (await asked('GET', '/ops/views')).body.items.map(({ name }: { name: string }) => name);
    expect([await views(customers), await views(orders)]).to.deep.equal([['customers', 'customer-history'], ['orders', 'order-customers']]);
  });

  it('ends in the documents that a naive fold of both logs gives', async function () {
    this.timeout(60_000);
    const urls = { customers: running.customers!.url, orders: running.orders!.url };
    await eventually('the views agree with the logs', async () => (await differencesFromLog(urls, { customers: databases.customers.url, orders: databases.orders.url })).length === 0, 20_000, 500);
  });
}

function severalInstances({ settings, forget }: Installation): void {
  let fresh: TestDatabase;
  let directory: string;
  let processes: Running[] = [];

  before(async function () {
    this.timeout(60_000);
    fresh = await freshDatabase();
    directory = await temporaryDirectory();
    const environment: Environment = { ...settings, DATA_DIR: directory, DATABASE_URL: fresh.url };
    processes = await Promise.all(['api', 'api,relay', 'projector,policies', 'projector,policies,relay'].map((roles) => serve(environment, '--roles', roles)));
  });
  after(async function () {
    this.timeout(60_000);
    await Promise.all(processes.map((one) => one.stop()));
    await forget();
    await fresh.drop();
    await rm(directory, { recursive: true, force: true });
  });

  /** How many processes have partitions of a subscriber's. */
  const membersOf = async (group: string) => {
    const admin = connectKafka(kafkaConfig(settings.KAFKA_TOPIC_PREFIX, settings)).admin();
    await admin.connect();
    try {
      const { groups: [found] } = await admin.describeGroups([`${settings.KAFKA_TOPIC_PREFIX}${group}`]);
      return found!.members.filter(({ memberAssignment }) => memberAssignment.length > 0).length;
    } finally {
      await admin.disconnect();
    }
  };

  it('share the work, and lose nothing when one of them is killed', async function () {
    this.timeout(120_000);
    const states = (url: string) => ask(url, 'GET', '/ops/views').then(({ body }) => body.items as { name: string; positions: Record<string, number>; lagMs: number }[]);
    const urls = processes.slice(0, 2).map(({ url }) => url);
    const orderIds: string[] = [];
    let slowest = 0;
    let stopped = false;
    const isStopped = () => stopped;
    const clients = urls.flatMap((url, instance) => [0, 1].map(async (client) => {
      for (let n = 0; !isStopped(); n++) {
        const id = `${instance}-${client}-${n}`;
        const registered = await ask(url, 'POST', '/customers', { customerId: id, name: `N ${id}`, currency: 'EUR', creditLimitMinor: n % 3 === 0 ? 50 : 500 });
        expect(registered.status, registered.text).to.equal(201);
        // At the other instance; the copy may wait for those who take over the killed one's partitions.
        const began = performance.now();
        const placed = await ask(urls[1 - instance]!, 'POST', '/orders', { orderId: id, customerId: id, currency: 'EUR', lines: lines() }, { 'consistency-token': registered.headers.get('consistency-token')!, prefer: 'wait=30' });
        expect(placed.status, placed.text).to.equal(201);
        slowest = Math.max(slowest, performance.now() - began);
        orderIds.push(id);
        await new Promise((resolve) => setTimeout(resolve, 30));
      }
    }));
    await new Promise((resolve) => setTimeout(resolve, 4_000));
    expect(await membersOf('order-customers-r2')).to.equal(2);
    const [victim] = processes.splice(2, 1);
    await victim!.stop('SIGKILL');
    await eventually('/ops/views tells that some partitions wait for another process', async () => (await states(urls[0]!)).some(({ lagMs }) => lagMs > 2_000), 9_000, 100);
    stopped = true;
    await Promise.all(clients);
    const heads = async () => {
      const [customers, orders] = await Promise.all([wholeLog(fresh.url, 'customers'), wholeLog(fresh.url, 'orders')]);
      return { customers: customers.length, orders: orders.length };
    };
    await eventually('every order is decided', async () => {
      const { body: { total, facets: { status } } } = await ask(urls[0]!, 'GET', '/orders?facets=status&limit=1');
      return total === orderIds.length && status.every(({ key }: { key: string }) => key === 'approved' || key === 'rejected');
    }, 60_000, 200);
    const end = await heads();
    for (const url of urls) {
      await eventually('/ops/views tells that all views have caught up', async () => (await states(url)).every(({ positions, lagMs }) =>
        lagMs < 3_000 && (['customers', 'orders'] as const).every((context) => {
          const own = Object.entries(positions).filter(([source]) => source.startsWith(`${context}/`)).map(([, position]) => position);
          return own.length === 0 || Math.max(...own) === end[context];
        })), 20_000, 200);
    }
    expect(await differencesFromLog({ customers: urls[0]!, orders: urls[1]! }, { customers: fresh.url, orders: fresh.url })).to.deep.equal([]);
    const events = await wholeLog(fresh.url, 'orders');
    for (const type of ['OrderApproved', 'OrderRejected']) {
      const ids = events.filter(({ data }) => data.type === type).map(({ stream }) => stream);
      expect(new Set(ids).size, `${type} happens once an order`).to.equal(ids.length);
    }
    console.log(`      ${orderIds.length} orders, one of two projector processes killed: the slowest order waited ${(slowest / 1_000).toFixed(1)} s for its customer`);
  });
}
