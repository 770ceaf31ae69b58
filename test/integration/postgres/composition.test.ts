import { rm } from 'node:fs/promises';
import { expect } from 'chai';
import { notBegun } from '../../../src/application/views/progress.js';
import { compose, type Service } from '../../../src/infrastructure/composition/compose.js';
import { readConfig } from '../../../src/infrastructure/process/config.js';
import { OperatorError } from '../../../src/infrastructure/process/operator-error.js';
import { quiet } from '../../support/events.js';
import { freshDatabase, temporaryDirectory, type TestDatabase } from '../../support/postgres.js';

describe('a service on PostgreSQL', function () {
  this.timeout(60_000);
  let directory: string;
  let one: TestDatabase;
  let other: TestDatabase;
  const open: Service[] = [];
  const start = async (environment: Record<string, string>) => {
    const service = await compose(readConfig({ DATA_DIR: directory, CURSOR_SECRET: 'for this test and for nothing else', ...environment }), { logger: quiet });
    open.push(service);
    return service;
  };
  beforeEach(async () => {
    directory = await temporaryDirectory();
    [one, other] = await Promise.all([freshDatabase({ migrated: false }), freshDatabase({ migrated: false })]);
  });
  afterEach(async () => {
    await Promise.all(open.splice(0).map((service) => service.close()));
    await Promise.all([one.drop(), other.drop()]);
    await rm(directory, { recursive: true, force: true });
  });

  it('keeps the number of partitions that its logs began with', async () => {
    await (await start({ DATABASE_URL: one.url, KAFKA_PARTITIONS: '5' })).close();
    const refusal = await start({ DATABASE_URL: one.url }).catch((error: unknown) => error);
    expect(refusal).to.be.instanceOf(OperatorError).with.property('message').that.matches(/log of customers has 5 partitions, and KAFKA_PARTITIONS is 12.*Set KAFKA_PARTITIONS=5/);
    await start({ DATABASE_URL: one.url, KAFKA_PARTITIONS: '5' });
  });

  it('finds a view in the database of the context that serves it, whether it serves one context or both', async () => {
    const urls = { CUSTOMERS_DATABASE_URL: one.url, ORDERS_DATABASE_URL: other.url };
    const both = await start(urls);
    const stored = (id: string) => ({ id, revision: 1, applied: {}, deleted: false, document: { id } });
    await both.views.customers?.write([stored('c')] as never, notBegun);
    await both.views.customerHistory?.write([stored('h')] as never, notBegun);
    await both.views.orders?.write([stored('o')] as never, notBegun);
    // A process of one context learns of the other one from Kafka; nothing is asked of it here.
    const alone = { ...urls, FEED: 'kafka', KAFKA_BROKERS: '127.0.0.1:1' };
    const [customers, orders] = [await start({ ...alone, CONTEXTS: 'customers' }), await start({ ...alone, CONTEXTS: 'orders' })];
    expect([...(await customers.views.customers!.read(['c'])).keys(), ...(await customers.views.customerHistory!.read(['h'])).keys(), ...(await orders.views.orders!.read(['o'])).keys()])
      .to.deep.equal(['c', 'h', 'o']);
  });
});
