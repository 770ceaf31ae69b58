import { expect } from 'chai';
import { createAuthenticator, scopes } from '../../src/interfaces/http/request/access.js';
import { assertScopes, routesOf, type HttpDependencies } from '../../src/interfaces/http/server/app.js';
import { createMetrics } from '../../src/interfaces/http/server/metrics.js';
import { openKeySet } from '../../src/infrastructure/network/jwks.js';
import { quiet } from '../support/events.js';
import { ask, eventually, startService, tokenIssuer, type TestService } from '../support/service.js';

const routes = routesOf({ cursorSecret: 'x', customers: {}, orders: {} } as HttpDependencies, createMetrics());
const all = scopes.join(' ');

describe('access', () => {
  let service: TestService;
  let issuer: Awaited<ReturnType<typeof tokenIssuer>>;
  const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

  before(async () => {
    issuer = await tokenIssuer();
    service = await startService(issuer.settings);
    const admin = bearer(await issuer.sign({ scope: all }));
    let token = '';
    for (const customerId of ['mine', 'theirs']) {
      token += `,${(await service.ask('POST', '/customers', { customerId, name: customerId, currency: 'EUR' }, admin)).headers.get('consistency-token')!}`;
    }
    for (const customerId of ['mine', 'theirs']) {
      await service.ask('POST', '/orders', { orderId: `of-${customerId}`, customerId, currency: 'EUR', lines: [{ sku: 'a', name: 'A', quantity: 1, unitPriceMinor: 1 }] }, { ...admin, 'consistency-token': token.slice(1), 'x-correlation-id': `for-${customerId}` });
    }
    for (let tries = 0; (await service.ask('GET', '/orders?status=approved', undefined, admin)).body.total < 2; tries++) {
      if (tries > 400) throw new Error('the orders were not approved');
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  });
  after(async () => {
    await service.end();
    await issuer.end();
  });

  const status = async (route: (typeof routes)[number], headers: Record<string, string>) =>
    (await ask(service.url, route.method.toUpperCase(), route.path.replace(/:\w+/g, 'nobody'), route.body && {}, headers)).status;

  for (const route of routes) {
    const needed = route.scopes;
    if (needed === 'public') {
      it(`${route.method.toUpperCase()} ${route.path} is for everybody`, async () => { expect(await status(route, {})).to.not.be.oneOf([401, 403]); });
      continue;
    }
    const every: readonly string[] = 'anyOf' in needed ? [] : needed;
    const any: readonly string[] = 'anyOf' in needed ? needed.anyOf : [];
    it(`${route.method.toUpperCase()} ${route.path} is for ${any.join(' or ')}${every.join(' and ')} only`, async () => {
      for (const headers of [
        {}, { authorization: 'Basic YTpi' }, { authorization: 'Bearer nonsense' }, bearer('a.b.c'),
        bearer(await issuer.sign({ scope: all }, { expires: '-1s' })), bearer(await issuer.sign({ scope: all }, { audience: 'another' })),
        bearer(await issuer.sign({ scope: all }, { issuer: 'https://another.test/' })), bearer(await issuer.sign({ scope: all }, { foreign: true })),
        bearer(`${Buffer.from('{"alg":"none"}').toString('base64url')}.${Buffer.from(JSON.stringify({ sub: 'x', scope: all })).toString('base64url')}.x`),
        bearer(await issuer.sign({ scope: all, customerId: 7 })),
      ]) expect(await status(route, headers), JSON.stringify(headers)).to.equal(401);
      expect(await status(route, bearer(await issuer.sign({})))).to.equal(403);
      for (const scope of every) {
        const others = scopes.filter((one) => one !== scope).join(' ');
        expect(await status(route, bearer(await issuer.sign({ scope: others }))), `without ${scope}`).to.equal(403);
      }
      if (any.length > 0) expect(await status(route, bearer(await issuer.sign({ scope: scopes.filter((one) => !any.includes(one)).join(' ') })))).to.equal(403);
      for (const scope of any.length > 0 ? any : [every.join(' ')]) expect(await status(route, bearer(await issuer.sign({ scope }))), scope).to.not.be.oneOf([401, 403]);
    });
  }

  it('refusals say how to get in', async () => {
    const { headers, body } = await service.ask('GET', '/orders');
    expect(headers.get('www-authenticate')).to.equal('Bearer');
    expect(body.type).to.equal('/problems/access.unauthenticated');
    expect((await service.ask('GET', '/orders', undefined, bearer(await issuer.sign({ scope: 'queries:customers' })))).body).to.include({ type: '/problems/access.forbidden', scope: 'queries:orders' });
  });

  it('to a version needs the history as well', async () => {
    expect((await service.ask('GET', '/orders/of-mine?version=1', undefined, bearer(await issuer.sign({ scope: 'queries:orders' })))).status).to.equal(403);
    expect((await service.ask('GET', '/orders/of-mine?version=1', undefined, bearer(await issuer.sign({ scope: 'queries:orders history' })))).status).to.equal(200);
  });

  describe('of a customer', () => {
    let own: Record<string, string>;
    before(async () => { own = bearer(await issuer.sign({ scope: all, customerId: 'mine' })); });

    for (const at of ['/orders/of-*', '/orders/of-*?version=1', '/orders/of-*/events', '/customers/*', '/customers/*?version=1', '/customers/*/history', '/customers/*/events']) {
      it(`GET ${at} shows what is theirs, and nothing else`, async () => {
        expect((await service.ask('GET', at.replace('*', 'mine'), undefined, own)).status).to.equal(200);
        expect((await service.ask('GET', at.replace('*', 'theirs'), undefined, own)).status).to.equal(404);
      });
    }
    it('lists, counts and finds only what is theirs', async () => {
      for (const at of ['/orders?facets=customerId', '/orders?customerId=theirs,mine', '/orders?q=of', '/customers', '/customers?q=mine']) {
        const { body } = await service.ask('GET', at, undefined, own);
        expect(body.items.map(({ customerId }: { customerId: string }) => customerId), at).to.deep.equal(['mine']);
        expect(body.total).to.equal(1);
      }
      expect((await service.ask('GET', '/orders?customerId=theirs&facets=status', undefined, own)).body).to.deep.equal({ items: [], total: 0, facets: { status: [] } });
      expect((await service.ask('GET', '/traces/for-theirs', undefined, own)).body.events).to.deep.equal([]);
      expect((await service.ask('GET', '/traces/for-mine', undefined, own)).body.events).to.have.length(1);
    });
    it('has cursors of their own', async () => {
      const { body: { nextCursor } } = await service.ask('GET', '/orders?limit=1', undefined, bearer(await issuer.sign({ scope: all })));
      expect((await service.ask('GET', `/orders?limit=1&cursor=${nextCursor}`, undefined, own)).status).to.equal(400);
    });
    it('changes only what is theirs', async () => {
      for (const [method, at, body] of [
        ['POST', '/orders/of-*/cancel', { reason: 'x' }], ['POST', '/orders/of-*/pay', { paymentReference: 'x' }], ['PATCH', '/customers/*', { name: 'New' }], ['PUT', '/customers/*/credit-limit', { creditLimitMinor: 1 }], ['POST', '/customers/*/suspend', { reason: 'x' }],
      ] as const) expect((await service.ask(method, at.replace('*', 'theirs'), body, own)).status, at).to.equal(404);
      expect((await service.ask('POST', '/orders', { customerId: 'theirs', currency: 'EUR', lines: [{ sku: 'a', name: 'A', quantity: 1, unitPriceMinor: 1 }] }, own)).status).to.equal(404);
      expect((await service.ask('POST', '/customers', { customerId: 'new', name: 'New', currency: 'EUR' }, own)).status).to.equal(404);
      expect((await service.ask('PATCH', '/customers/mine', { name: 'New' }, own)).status).to.equal(200);
    });
  });

  it('under a name of the service\'s own is somebody else\'s all the same', async () => {
    const authenticate = createAuthenticator({ keys: await openKeySet(issuer.settings.JWT_JWKS, quiet), issuer: issuer.settings.JWT_ISSUER, audience: 'orderfold' });
    const nameOf = async (subject: string) => (await authenticate(`Bearer ${await issuer.sign({}, { subject })}`)).id;
    for (const subject of ['import', 'anonymous', 'nobody', 'policy:decide-order', 'policy:', 'token:import']) expect(await nameOf(subject)).to.equal(`token:${subject}`);
    for (const subject of ['ada', 'importer', 'Import', 'policy', 'policies:x', 'auth0|5f7']) expect(await nameOf(subject)).to.equal(subject);
  });

  it('to the orders that wait for credit shows a customer only their own', async () => {
    const clock = { time: new Date(), now() { return this.time; } };
    const stuck = await startService({ ...issuer.settings, ROLES: 'api,projector' }, clock);
    try {
      const admin = bearer(await issuer.sign({ scope: all }));
      for (const customerId of ['mine', 'theirs']) {
        const token = (await stuck.ask('POST', '/customers', { customerId, name: customerId, currency: 'EUR' }, admin)).headers.get('consistency-token')!;
        const placed = await stuck.ask('POST', '/orders', { orderId: `of-${customerId}`, customerId, currency: 'EUR', lines: [{ sku: 'a', name: 'A', quantity: 1, unitPriceMinor: 1 }] }, { ...admin, 'consistency-token': token });
        expect(placed.status, placed.text).to.equal(201);
      }
      clock.time = new Date(clock.time.getTime() + 120_000);
      const waiting = async (claims: object) => (await stuck.ask('GET', '/ops/sagas', undefined, bearer(await issuer.sign({ scope: 'ops', ...claims })))).body;
      await eventually('both orders wait', async () => (await waiting({})).waiting === 2);
      const own = await waiting({ customerId: 'mine' });
      expect([own.waiting, own.oldest.map(({ orderId }: { orderId: string }) => orderId)]).to.deep.equal([1, ['of-mine']]);
    } finally {
      await stuck.end();
    }
  });

  it('is declared by every route, or the service does not start', () => {
    const [route] = routes;
    assertScopes(routes);
    for (const scopes of [[], undefined]) {
      expect(() => { assertScopes([...routes, { ...route!, ...(scopes === undefined ? { scopes: undefined as never } : { scopes }) }]); }).to.throw(/does not declare its scope/);
    }
  });
});
