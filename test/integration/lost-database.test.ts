import { expect } from 'chai';
import pg from 'pg';
import { freshDatabase, type TestDatabase } from '../support/postgres.js';
import { eventually, startService, type TestService } from '../support/service.js';
import { proxied, type TcpProxy } from '../support/tcp-proxy.js';

// A database that falls silent under a service, and one that comes back without its last commits.

describe('a service', function () {
  this.timeout(90_000);
  let fresh: TestDatabase;
  let proxy: TcpProxy;
  let service: TestService | undefined;
  beforeEach(async () => {
    fresh = await freshDatabase();
    const way = await proxied(fresh.url);
    proxy = way.proxy;
    service = await startService({ PROFILE: 'embedded', DATABASE_URL: way.url });
  });
  afterEach(async () => {
    proxy.restore();
    await service?.end();
    await proxy.close();
    await fresh.drop();
  });
  const ask: TestService['ask'] = (...args) => service!.ask(...args);
  const register = () => ask('POST', '/customers', { customerId: 'ada', name: 'Ada', currency: 'EUR', creditLimitMinor: null });
  const setLimit = (creditLimitMinor: number) => ask('PUT', '/customers/ada/credit-limit', { creditLimitMinor });
  const versions = async () => (await ask('GET', '/customers/ada/events?limit=100')).body.items as { version: number }[];

  it('answers everything with 503 in time while its database is silent, also the last of many commands of one stream, and does not do them later', async () => {
    await register();
    await setLimit(1);
    await eventually('the view shows the customer', async () => (await ask('GET', '/customers/ada')).status === 200);
    proxy.blackHole();
    const timed = async (work: ReturnType<TestService['ask']>) => {
      const began = performance.now();
      const { status, headers, body } = await work;
      return { status, retryAfter: headers.get('retry-after'), outcome: body.outcome as string | undefined, ms: performance.now() - began };
    };
    const commands = await Promise.all([
      ...Array.from({ length: 100 }, (_, n) => timed(setLimit(100 + n))),
      ...['/customers/ada', '/customers?limit=1', '/orders?limit=1', '/customers/ada/events'].map((path) => timed(ask('GET', path))),
    ]);
    for (const { status, retryAfter, ms } of commands) {
      expect([status, retryAfter]).to.deep.equal([503, '2']);
      expect(ms).to.be.below(8_000);
    }
    const outcomes = commands.slice(0, 100).map(({ outcome }) => outcome);
    expect(outcomes.filter((outcome) => outcome === 'not-stored').length).to.be.at.least(99);

    proxy.restore();
    await eventually('commands are done again', async () => (await setLimit(999)).status === 200, 30_000, 200);
    // The one that was sent may have been stored; the others were not.
    expect(await versions()).to.have.length.within(3, 4);
  });

  it('goes on with what there is when its database comes back without its last commits', async () => {
    await register();
    await setLimit(1);
    expect((await ask('POST', '/customers/ada/close', { reason: 'x' })).status).to.equal(200);
    const client = new pg.Client({ connectionString: fresh.url });
    await client.connect();
    try {
      // No trigger: only a server that lost them can be without events.
      await client.query('begin; set local session_replication_role = replica; delete from customers.events where version > 1; update customers.head set position = 1; commit');
    } finally {
      await client.end();
    }
    expect((await setLimit(2)).status).to.equal(200);
    expect((await ask('POST', '/customers/ada/suspend', { reason: 'x' })).body.version).to.equal(3);
  });
});
