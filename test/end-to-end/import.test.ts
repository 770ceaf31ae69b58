import { existsSync } from 'node:fs';
import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import pg from 'pg';
import { packageRoot } from '../../src/infrastructure/process/package-root.js';
import { finished, ownService, run, serve, start } from '../support/cli.js';
import { freshDatabase } from '../support/postgres.js';
import { ask, eventually } from '../support/service.js';

const sample = join(packageRoot, 'samples/orders.ndjson');
const northwind = join(packageRoot, '../shared/data/northwind');

describe('an import', function () {
  this.timeout(120_000);
  const own = ownService();

  const file = async (lines: readonly unknown[]) => {
    const name = join(own.directory, 'lines.ndjson');
    await writeFile(name, lines.map((line) => `${typeof line === 'string' ? line : JSON.stringify(line)}\n`).join(''));
    return name;
  };

  it('imports beside a running service, and a second time changes nothing', async () => {
    own.running = await serve(own.environment);
    const book = join(own.directory, 'orders.ndjson');
    await copyFile(sample, book);
    const first = await run(['import', book, '--json'], own.environment);
    expect(first.code, first.err).to.equal(0);
    expect(JSON.parse(first.out)).to.include({ lines: 238, applied: 238, rejected: 0 });
    const heads = async () => (await ask(own.running!.url, 'GET', '/ops/views')).body.items[0].positions['orders/0'] as number;
    const before = await heads();
    const second = await run(['import', book, '--json'], own.environment);
    expect(second.code, second.err).to.equal(0);
    expect(JSON.parse(second.out)).to.include({ applied: 0, replayed: 238, rejected: 0 });
    expect(await heads()).to.equal(before);
    expect(existsSync(`${book}.rejected.ndjson`)).to.equal(false);
    const { body } = await ask(own.running.url, 'GET', '/orders/A-2000');
    expect(body).to.include({ status: 'rejected', reason: 'credit.limit-exceeded' });
    const views = JSON.parse((await run(['views', 'list', '--json'], own.environment)).out) as { name: string; documents: number }[];
    expect(views.map(({ name, documents }) => [name, documents])).to.deep.equal([['orders', 61], ['customers', 12], ['customer-history', 12], ['order-customers', 12]]);
  });

  it('goes on behind a line that is refused, and says which ones were', async () => {
    const at = '2026-01-01T00:00:00.000Z';
    const name = await file([
      { id: '1', at, type: 'RegisterCustomer', customerId: 'ada', name: 'Ada', currency: 'EUR', creditLimitMinor: 100 },
      '{"id": "2", broken',
      { id: '3', at, type: 'LaunchRocket' },
      { id: '4', at, type: 'RegisterCustomer', customerId: 'ada', name: 'Ada again', currency: 'EUR' },
      { id: '5', at, type: 'RegisterCustomer', customerId: 'bob', name: 'Bob', currency: 'EUR', surprise: true },
      '',
      { id: '6', at, type: 'PlaceOrder', orderId: 'o', customerId: 'ada', currency: 'EUR', lines: [{ sku: 'a', name: 'A', quantity: 1, unitPriceMinor: 90 }] },
      { id: '7', at, type: 'ShipOrder', orderId: 'o' },
      { id: '7', at, type: 'ShipOrder', orderId: 'o', carrier: 'another request under the same id' },
      { id: '8', at, type: 'PlaceOrder', orderId: 'p', customerId: 'nobody', currency: 'EUR', lines: [] },
      { id: '9', at, type: 'PlaceOrder', orderId: 'too-dear', customerId: 'ada', currency: 'EUR', lines: [{ sku: 'a', name: 'A', quantity: 1, unitPriceMinor: 90 }] },
      { id: '10', at, type: 'ShipOrder', orderId: 'too-dear' },
      '{"id":"11","at":"2026-01-01T00:00:00.000Z","type":"DeliverOrder","orderId":"o","orderId":"o"}',
      { id: '12', at, type: 'DeliverOrder', orderId: 'o' },
      { id: '13', at: '+010000-01-01T00:00:00.000Z', type: 'RegisterCustomer', customerId: 'late', name: 'Late', currency: 'EUR' },
      { id: '14', at: '2026-W05', type: 'RegisterCustomer', customerId: 'odd', name: 'Odd', currency: 'EUR' },
    ]);
    const { code, out, err } = await run(['import', name], own.environment);
    expect(code, err).to.equal(2);
    expect(out).to.match(/16 lines .* 5 applied, 0 there already, 10 rejected/);
    const rejected = (await readFile(`${name}.rejected.ndjson`, 'utf8')).trim().split('\n').map((line) => JSON.parse(line) as { line: number; reason: { code: string }; input: string });
    expect(rejected.map(({ line, reason }) => [line, reason.code]).sort((a, b) => (a[0] as number) - (b[0] as number))).to.deep.equal([
      [2, 'input.malformed'], [3, 'input.invalid'], [4, 'customer.exists'], [5, 'input.invalid'], [9, 'idempotency.key-reused'], [10, 'customer.unknown'], [12, 'order.rejected'], [13, 'input.malformed'], [15, 'input.invalid'], [16, 'input.invalid'],
    ]);
    expect(rejected.find(({ line }) => line === 2)?.input).to.equal('{"id": "2", broken');
  });

  it('ends with the same streams when an import was killed and started again', async () => {
    const [whole, killed] = [await freshDatabase(), await freshDatabase()];
    const clientOf = (url: string) => new pg.Client({ connectionString: url });
    const [ofWhole, client] = [clientOf(whole.url), clientOf(killed.url)];
    const on = (url: string) => ({ ...own.environment, DATABASE_URL: url });
    const streams = async (database: pg.Client) =>
      (await database.query('select stream, version, data::text from customers.events union all select stream, version, data::text from orders.events order by stream, version')).rows;
    const imported = async (url: string) => {
      const { code, err } = await run(['import', book], on(url));
      expect(code, err).to.equal(0);
    };
    const book = join(own.directory, 'orders.ndjson');
    try {
      await copyFile(sample, book);
      await Promise.all([ofWhole.connect(), client.connect()]);
      await imported(whole.url);
      const events = async () => Number((await client.query<{ count: string }>('select (select count(*) from customers.events) + (select count(*) from orders.events) as count')).rows[0]!.count);
      for (const reached of [20, 100, 250]) {
        const child = start(['import', book], on(killed.url));
        const ended = finished(child);
        await eventually(`${reached} events`, async () => await events() >= reached, 60_000, 2);
        child.kill('SIGKILL');
        await ended;
      }
      await imported(killed.url);
      const expected = await streams(ofWhole);
      expect(expected).to.have.length.at.least(300);
      expect(await streams(client)).to.deep.equal(expected);
    } finally {
      await Promise.all([ofWhole.end(), client.end()]);
      await Promise.all([whole.drop(), killed.drop()]);
    }
  });

  if (existsSync(northwind)) {
    it('imports a real order book and gives the answers of its source', async () => {
      const book = join(own.directory, 'northwind.ndjson');
      await copyFile(join(northwind, 'northwind.ndjson'), book);
      const expected = JSON.parse(await readFile(join(northwind, 'expected.json'), 'utf8')) as { customers: number; orders: number; shipped: number; ordersPerMonth: Record<string, number> };
      own.running = await serve(own.environment);
      const imported = await run(['import', book, '--json'], own.environment);
      expect(imported.code, imported.err).to.equal(0);
      expect(JSON.parse(imported.out)).to.include({ rejected: 0 });
      const orders = await ask(own.running.url, 'GET', '/orders?facets=status,month&limit=1');
      const customers = await ask(own.running.url, 'GET', '/customers?limit=1');
      expect(customers.body.total).to.equal(expected.customers);
      expect(orders.body.total).to.equal(expected.orders);
      expect(orders.body.facets.status.find(({ key }: { key: string }) => key === 'shipped').count).to.equal(expected.shipped);
      expect(Object.fromEntries(orders.body.facets.month.map(({ key, count }: { key: string; count: number }) => [key, count]))).to.deep.equal(expected.ordersPerMonth);

      // Through all of them in every sort order, while others are being placed.
      const known = (await readFile(book, 'utf8')).split('\n').filter((line) => line.includes('"PlaceOrder"')).map((line) => (JSON.parse(line) as { orderId: string }).orderId).sort();
      const { url } = own.running;
      for (const sort of ['placedAt', '-placedAt', 'totalMinor', '-totalMinor']) {
        let paging = true;
        const stillPaging = () => paging;
        const placing = (async () => {
          let placed = 0;
          for (; stillPaging(); placed++) {
            const lines = [{ sku: 'new', name: 'New', quantity: 1, unitPriceMinor: placed * 997 % 100_000 }];
            expect((await ask(url, 'POST', '/orders', { customerId: 'ALFKI', currency: 'USD', lines })).status).to.equal(201);
            await new Promise((resolve) => setTimeout(resolve, 20));
          }
          return placed;
        })();
        const seen: string[] = [];
        for (let cursor = ''; ;) {
          const { body } = await ask(url, 'GET', `/orders?limit=40&sort=${sort}${cursor}`);
          seen.push(...body.items.map(({ orderId }: { orderId: string }) => orderId));
          // Those that are being placed may be met, and would be met for ever at the end of an ascending order.
          if (body.nextCursor === undefined || known.every((id) => seen.includes(id))) break;
          cursor = `&cursor=${encodeURIComponent(body.nextCursor)}`;
        }
        paging = false;
        expect(await placing).to.be.greaterThan(0);
        expect(seen.filter((id) => known.includes(id)).sort(), sort).to.deep.equal(known);
        expect(new Set(seen).size, sort).to.equal(seen.length);
      }
    });
  }
});
