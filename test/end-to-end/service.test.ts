import { rm } from 'node:fs/promises';
import { expect } from 'chai';
import { serve, type Environment, type Running } from '../support/cli.js';
import { freshDatabase, temporaryDirectory } from '../support/postgres.js';
import { ask } from '../support/service.js';
import { proxied } from '../support/tcp-proxy.js';

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
});
