import { copyFile, readFile, rm, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { expect } from 'chai';
import { packageRoot } from '../../src/infrastructure/package-root.js';
import { finished, run, serve, start, type Environment, type Running } from '../support/cli.js';
import { freshDatabase, temporaryDirectory } from '../support/postgres.js';
import { ask } from '../support/service.js';
import { proxied } from '../support/tcp-proxy.js';

const sample = join(packageRoot, 'samples/orders.ndjson');
const northwind = join(packageRoot, '../shared/data/northwind');

describe('the service as a process', function () {
  this.timeout(120_000);
  let directory: string;
  let environment: Environment;
  let running: Running | undefined;
  beforeEach(async () => {
    directory = await temporaryDirectory();
    environment = { DATA_DIR: directory, LOG_LEVEL: 'fatal' };
  });
  afterEach(async () => {
    await running?.stop();
    running = undefined;
    await rm(directory, { recursive: true, force: true });
  });

  const file = async (lines: readonly unknown[]) => {
    const name = join(directory, 'lines.ndjson');
    await writeFile(name, lines.map((line) => `${typeof line === 'string' ? line : JSON.stringify(line)}\n`).join(''));
    return name;
  };

  it('serves, keeps everything over a restart, and tells where to go next', async () => {
    running = await serve(environment);
    expect(running.banner).to.include(`${running.url}/docs`).and.include('curl').and.include('orderfold import samples/orders.ndjson');
    await ask(running.url, 'POST', '/customers', { customerId: 'ada', name: 'Ada', currency: 'EUR' });
    const { body: { items: [item] } } = await ask(running.url, 'GET', '/customers?limit=1', undefined, { 'consistency-token': 'customers:1:2' });
    expect(item.customerId).to.equal('ada');
    const page = await ask(running.url, 'GET', '/customers?limit=1');
    expect(await running.stop()).to.equal(0);
    running = await serve(environment);
    const again = await ask(running.url, 'GET', '/customers?limit=1');
    expect(again.body).to.deep.equal(page.body);
  });

  it('answers what it has taken on before it stops', async () => {
    running = await serve(environment);
    const { url } = running;
    await ask(url, 'POST', '/customers', { customerId: 'ada', name: 'Ada', currency: 'EUR' });
    const requests = Array.from({ length: 40 }, (_, n) => ask(url, 'PUT', '/customers/ada/credit-limit', { creditLimitMinor: n }).catch(() => undefined));
    await new Promise((resolve) => setTimeout(resolve, 5));
    const code = running.stop();
    const answers = (await Promise.all(requests)).filter((answer) => answer !== undefined);
    expect(await code).to.equal(0);
    for (const { status } of answers) expect(status).to.equal(200);
    running = await serve(environment);
    const { body } = await ask(running.url, 'GET', '/customers/ada/events?limit=200');
    expect(body.items).to.have.length.at.least(1 + answers.length);
  });

  it('serves from memory alone', async () => {
    running = await serve({ ...environment, PROFILE: 'memory' });
    expect((await ask(running.url, 'POST', '/customers', { name: 'Ada', currency: 'EUR' })).status).to.equal(201);
    expect((await ask(running.url, 'GET', '/health/ready')).status).to.equal(200);
  });

  it('imports beside a running service, and a second time changes nothing', async () => {
    running = await serve(environment);
    const book = join(directory, 'orders.ndjson');
    await copyFile(sample, book);
    const first = await run(['import', book, '--json'], environment);
    expect(first.code, first.err).to.equal(0);
    expect(JSON.parse(first.out)).to.include({ lines: 238, applied: 238, rejected: 0 });
    const heads = async () => (await ask(running!.url, 'GET', '/ops/views')).body.items[0].positions['orders/0'] as number;
    const before = await heads();
    const second = await run(['import', book, '--json'], environment);
    expect(JSON.parse(second.out)).to.include({ applied: 0, replayed: 238, rejected: 0 });
    expect(await heads()).to.equal(before);
    expect(existsSync(`${book}.rejected.ndjson`)).to.equal(false);
    const { body } = await ask(running.url, 'GET', '/orders/A-2000');
    expect(body).to.include({ status: 'rejected', reason: 'credit.limit-exceeded' });
    const views = JSON.parse((await run(['views', 'list', '--json'], environment)).out) as { name: string; documents: number }[];
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
    const { code, out, err } = await run(['import', name], environment);
    expect(code, err).to.equal(2);
    expect(out).to.match(/16 lines .* 5 applied, 0 there already, 10 rejected/);
    const rejected = (await readFile(`${name}.rejected.ndjson`, 'utf8')).trim().split('\n').map((line) => JSON.parse(line) as { line: number; reason: { code: string }; input: string });
    expect(rejected.map(({ line, reason }) => [line, reason.code]).sort((a, b) => (a[0] as number) - (b[0] as number))).to.deep.equal([
      [2, 'input.malformed'], [3, 'input.invalid'], [4, 'customer.exists'], [5, 'input.invalid'], [9, 'idempotency.key-reused'], [10, 'customer.unknown'], [12, 'order.rejected'], [13, 'input.malformed'], [15, 'input.invalid'], [16, 'input.invalid'],
    ]);
    expect(rejected.find(({ line }) => line === 2)?.input).to.equal('{"id": "2", broken');
  });

  it('ends with the same streams when an import was killed and started again', async () => {
    const streams = async (data: string) => {
      const all: Record<string, string[]> = {};
      for (const context of ['customers', 'orders']) {
        const { out } = await run(['events', 'read', '--context', context, '--json'], { ...environment, DATA_DIR: data });
        for (const line of out.trim().split('\n')) {
          const { stream, version, data: event } = JSON.parse(line) as { stream: string; version: number; data: object };
          (all[stream] ??= []).push(JSON.stringify([version, event]));
        }
      }
      return all;
    };
    const whole = await temporaryDirectory();
    try {
      const book = join(directory, 'orders.ndjson');
      await copyFile(sample, book);
      expect((await run(['import', book], { ...environment, DATA_DIR: whole })).code).to.equal(0);
      for (const ms of [900, 1_200, 1_500]) {
        const child = start(['import', book], environment);
        const ended = finished(child);
        await new Promise((resolve) => setTimeout(resolve, ms));
        child.kill('SIGKILL');
        await ended;
      }
      expect((await run(['import', book], environment)).code).to.equal(0);
      expect(await streams(directory)).to.deep.equal(await streams(whole));
    } finally {
      await rm(whole, { recursive: true, force: true });
    }
  });

  it('reads, traces and examines what was stored', async () => {
    running = await serve(environment);
    const book = join(directory, 'orders.ndjson');
    await copyFile(sample, book);
    await run(['import', book], environment);
    const { out } = await run(['events', 'read', '--stream', 'order-A-2000'], environment);
    expect(out.trim().split('\n')).to.have.length(2);
    expect(out).to.match(/order-A-2000 v1 +OrderPlaced/).and.match(/OrderRejected.*credit\.limit-exceeded/);
    const [line] = (await run(['events', 'read', '--type', 'OrderRejected', '--limit', '1', '--json'], environment)).out.trim().split('\n');
    const { metadata } = JSON.parse(line!) as { metadata: { correlationId: string } };
    const trace = (await run(['events', 'trace', metadata.correlationId], environment)).out.split('\n');
    expect(trace.slice(0, 3).map((text) => text.replace(/(\w) {2}\w.*/, '$1'))).to.deep.equal(['OrderPlaced', '  CreditRefused', '    OrderRejected']);
    const doctor = await run(['doctor'], { ...environment, CURSOR_SECRET: 'x'.repeat(40) });
    expect([doctor.code, doctor.out.includes('x'.repeat(40))], doctor.out).to.deep.equal([0, false]);
    expect(doctor.out).to.match(/ok +log of orders: \d+ events, the last \d+ without a hole/);
    expect((await run(['migrate'], environment)).out).to.include('up to date');
    const tail = start(['events', 'tail', '--after', '1', '--json'], environment);
    const tailed = finished(tail);
    await new Promise((resolve) => tail.stdout?.once('data', resolve));
    tail.kill('SIGINT');
    expect((await tailed).out.split('\n')[0]).to.include('"position":2');
  });

  it('survives that its database goes away, and comes back', async () => {
    const fresh = await freshDatabase();
    const { proxy, url } = await proxied(fresh.url);
    try {
      running = await serve({ ...environment, DATABASE_URL: url });
      const place = (name: string) => ask(running!.url, 'POST', '/customers', { customerId: name, name, currency: 'EUR' }, { 'idempotency-key': name });
      expect((await place('before')).status).to.equal(201);
      proxy.cut();
      const refused = await place('during');
      expect([refused.status, refused.body.type, refused.headers.get('retry-after')]).to.deep.equal([503, '/problems/log.unavailable', '2']);
      const list = await ask(running.url, 'GET', '/customers');
      expect([list.status, list.body.type]).to.deep.equal([503, '/problems/view.unavailable']);
      const ready = await ask(running.url, 'GET', '/health/ready');
      expect([ready.status, ready.body.status]).to.deep.equal([503, 'not ready']);
      expect((await ask(running.url, 'GET', '/health/live')).status).to.equal(200);
      proxy.restore();
      const placed = await place('during');
      expect(placed.status).to.equal(201);
      const seen = await ask(running.url, 'GET', '/customers', undefined, { 'consistency-token': placed.headers.get('consistency-token')!, prefer: 'wait=20' });
      expect(seen.body.total).to.equal(2);
      expect((await ask(running.url, 'GET', '/health/ready')).status).to.equal(200);
    } finally {
      await running?.stop();
      running = undefined;
      await proxy.close();
      await fresh.drop();
    }
  });

  describe('says in one line what is wrong', () => {
    const oneLine = async (args: string[], wrong: Environment, expected: RegExp) => {
      const { code, out, err } = await run(args, { ...environment, ...wrong });
      expect(code).to.equal(1);
      expect(out).to.equal('');
      expect(err.trim().split('\n'), err).to.have.length(1);
      expect(err).to.match(expected);
    };
    it('when its port is taken', async () => {
      const server = createServer();
      await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
      const { port } = server.address() as AddressInfo;
      await oneLine(['serve', '--port', String(port)], { PROFILE: 'memory' }, new RegExp(`Port ${port} on 127.0.0.1 is taken`));
      await new Promise((resolve) => server.close(resolve));
    });
    it('when its data directory cannot be written', async () => {
      await writeFile(join(directory, 'file'), '');
      await oneLine(['serve'], { DATA_DIR: join(directory, 'file/data') }, /data directory .* cannot be written/);
      await oneLine(['serve'], { DATA_DIR: '/proc/nothing' }, /data directory .* cannot be written/);
    });
    it('when its database cannot be reached', () => oneLine(['serve'], { DATABASE_URL: 'postgres://nobody:secret@127.0.0.1:1/none' }, /database at 127\.0\.0\.1:1\/none cannot be reached/));
    it('when its configuration is wrong', async () => {
      await oneLine(['serve'], { PORT: 'many', PROFILE: 'imaginary' }, /PORT must be a number; .*PROFILE must be one of|PROFILE must be one of .*; PORT must be a number/);
      await oneLine(['serve'], { HOST: '0.0.0.0', AUTH: 'off' }, /AUTH=off is refused on 0\.0\.0\.0/);
      await oneLine(['serve'], { HOST: '0.0.0.0' }, /AUTH=jwt needs JWT_JWKS/);
      await oneLine(['serve'], { AUTH: 'jwt', JWT_JWKS: join(directory, 'none.json'), JWT_ISSUER: 'x', JWT_AUDIENCE: 'y', PROFILE: 'memory' }, /JWT_JWKS: .* cannot|JWT_JWKS: .* is not/);
    });
    it('when there is nothing to import, or nowhere', async () => {
      await oneLine(['import', join(directory, 'nothing.ndjson')], {}, /nothing\.ndjson cannot be read/);
      await oneLine(['import', sample], { PROFILE: 'memory' }, /PROFILE=memory keeps its data inside/);
    });
  });

  if (existsSync(northwind)) {
    it('imports a real order book and gives the answers of its source', async () => {
      const book = join(directory, 'northwind.ndjson');
      await copyFile(join(northwind, 'northwind.ndjson'), book);
      const expected = JSON.parse(await readFile(join(northwind, 'expected.json'), 'utf8')) as { customers: number; orders: number; shipped: number; ordersPerMonth: Record<string, number> };
      running = await serve(environment);
      const imported = await run(['import', book, '--json'], environment);
      expect(imported.code, imported.err).to.equal(0);
      expect(JSON.parse(imported.out)).to.include({ rejected: 0 });
      const orders = await ask(running.url, 'GET', '/orders?facets=status,month&limit=1');
      const customers = await ask(running.url, 'GET', '/customers?limit=1');
      expect(customers.body.total).to.equal(expected.customers);
      expect(orders.body.total).to.equal(expected.orders);
      expect(orders.body.facets.status.find(({ key }: { key: string }) => key === 'shipped').count).to.equal(expected.shipped);
      expect(Object.fromEntries(orders.body.facets.month.map(({ key, count }: { key: string; count: number }) => [key, count]))).to.deep.equal(expected.ordersPerMonth);

      // Through all of them in every sort order, while others are being placed.
      const known = (await readFile(book, 'utf8')).split('\n').filter((line) => line.includes('"PlaceOrder"')).map((line) => (JSON.parse(line) as { orderId: string }).orderId).sort();
      const { url } = running;
      for (const sort of ['placedAt', '-placedAt', 'totalMinor', '-totalMinor']) {
        let paging = true;
        const stillPaging = () => paging;
        const placing = (async () => {
          let placed = 0;
          for (; stillPaging(); placed++) {
            const lines = [{ sku: 'new', name: 'New', quantity: 1, unitPriceMinor: placed * 997 % 100_000 }];
            expect((await ask(url, 'POST', '/orders', { customerId: 'ALFKI', currency: 'USD', lines })).status).to.equal(201);
            await new Promise((resolve) => setTimeout(resolve, 5));
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
