import { expect } from 'chai';
import { ownService, serve } from '../support/cli.js';
import { freshDatabase } from '../support/postgres.js';
import { ask } from '../support/service.js';
import { proxied } from '../support/tcp-proxy.js';

describe('the service as a process', function () {
  this.timeout(120_000);
  const own = ownService();

  it('serves, keeps everything over a restart, and tells where to go next', async () => {
    own.running = await serve(own.environment);
    expect(own.running.banner).to.include(`${own.running.url}/docs`).and.include('curl').and.include('orderfold import samples/orders.ndjson');
    await ask(own.running.url, 'POST', '/customers', { customerId: 'ada', name: 'Ada', currency: 'EUR' });
    const { body: { items: [item] } } = await ask(own.running.url, 'GET', '/customers?limit=1', undefined, { 'consistency-token': 'customers:1:2' });
    expect(item.customerId).to.equal('ada');
    const page = await ask(own.running.url, 'GET', '/customers?limit=1');
    expect(await own.running.stop()).to.equal(0);
    own.running = await serve(own.environment);
    const again = await ask(own.running.url, 'GET', '/customers?limit=1');
    expect(again.body).to.deep.equal(page.body);
  });

  it('answers what it has taken on before it stops', async () => {
    own.running = await serve(own.environment);
    const { url } = own.running;
    await ask(url, 'POST', '/customers', { customerId: 'ada', name: 'Ada', currency: 'EUR' });
    const requests = Array.from({ length: 40 }, (_, n) => ask(url, 'PUT', '/customers/ada/credit-limit', { creditLimitMinor: n }).catch(() => undefined));
    await new Promise((resolve) => setTimeout(resolve, 5));
    const code = own.running.stop();
    const answers = (await Promise.all(requests)).filter((answer) => answer !== undefined);
    expect(await code).to.equal(0);
    for (const { status } of answers) expect(status).to.equal(200);
    own.running = await serve(own.environment);
    const { body } = await ask(own.running.url, 'GET', '/customers/ada/events?limit=200');
    expect(body.items).to.have.length.at.least(1 + answers.length);
  });

  it('serves from memory alone', async () => {
    own.running = await serve({ ...own.environment, PROFILE: 'memory' });
    expect((await ask(own.running.url, 'POST', '/customers', { name: 'Ada', currency: 'EUR' })).status).to.equal(201);
    expect((await ask(own.running.url, 'GET', '/health/ready')).status).to.equal(200);
  });

  it('survives that its database goes away, and comes back', async () => {
    const fresh = await freshDatabase();
    const { proxy, url } = await proxied(fresh.url);
    try {
      own.running = await serve({ ...own.environment, DATABASE_URL: url });
      const place = (name: string) => ask(own.running!.url, 'POST', '/customers', { customerId: name, name, currency: 'EUR' }, { 'idempotency-key': name });
      expect((await place('before')).status).to.equal(201);
      proxy.cut();
      const refused = await place('during');
      expect([refused.status, refused.body.type, refused.headers.get('retry-after')]).to.deep.equal([503, '/problems/log.unavailable', '2']);
      const list = await ask(own.running.url, 'GET', '/customers');
      expect([list.status, list.body.type]).to.deep.equal([503, '/problems/view.unavailable']);
      const ready = await ask(own.running.url, 'GET', '/health/ready');
      expect([ready.status, ready.body.status]).to.deep.equal([503, 'not ready']);
      expect((await ask(own.running.url, 'GET', '/health/live')).status).to.equal(200);
      proxy.restore();
      const placed = await place('during');
      expect(placed.status).to.equal(201);
      const seen = await ask(own.running.url, 'GET', '/customers', undefined, { 'consistency-token': placed.headers.get('consistency-token')!, prefer: 'wait=20' });
      expect(seen.body.total).to.equal(2);
      expect((await ask(own.running.url, 'GET', '/health/ready')).status).to.equal(200);
    } finally {
      await own.running?.stop();
      own.running = undefined;
      await proxy.close();
      await fresh.drop();
    }
  });
});
