import { expect } from 'chai';
import sinon from 'sinon';
import { Rejection } from '../../src/domain/shared/rejection.js';
import { freshDatabase } from '../support/postgres.js';
import { startService, tokenIssuer, type TestAnswer, type TestService } from '../support/service.js';

const later = { prefer: 'respond-async' };
const lines = [{ sku: 'a', name: 'Chair', quantity: 2, unitPriceMinor: 500 }];
const scopes = 'commands:customers commands:orders';

async function settled(service: TestService, location: string, headers?: Record<string, string>): Promise<TestAnswer> {
  for (const deadline = Date.now() + 10_000; ;) {
    const answer = await service.ask('GET', location, undefined, headers);
    if (answer.status !== 200 || !['accepted', 'running'].includes(answer.body.status)) return answer;
    expect(answer.headers.get('retry-after')).to.equal('1');
    if (Date.now() > deadline) throw new Error(`${location} is still ${answer.body.status}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

describe('commands with Prefer: respond-async', function () {
  this.timeout(20_000);
  let service: TestService;
  before(async () => { service = await startService(); });
  after(() => service.end());

  const send = (method: string, path: string, body: unknown, headers: Record<string, string> = {}) => service.ask(method, path, body, { ...later, ...headers });
  const outcome = async (answer: TestAnswer) => {
    expect(answer.status, answer.text).to.equal(202);
    return (await settled(service, answer.headers.get('location')!)).body;
  };

  it('are accepted, and done soon', async () => {
    const { status, body, headers } = await send('POST', '/customers', { customerId: 'ada', name: 'Ada', currency: 'EUR' }, { 'x-correlation-id': 'for-ada' });
    expect(status).to.equal(202);
    expect(body).to.deep.equal({ commandId: body.commandId, status: 'accepted' });
    expect(headers.get('location')).to.equal(`/commands/${body.commandId}`);
    expect(headers.get('preference-applied')).to.equal('respond-async');
    const done = await settled(service, headers.get('location')!);
    expect(done.headers.get('retry-after')).to.equal(null);
    expect(done.body).to.deep.include({
      commandId: body.commandId, type: 'RegisterCustomer', status: 'succeeded', correlationId: 'for-ada', etag: '"1"', location: '/customers/ada',
      result: { id: 'ada', version: 1, position: done.body.result.position, events: ['CustomerRegistered'] }, consistencyToken: done.headers.get('consistency-token'),
    });
    const { body: customer } = await service.ask('GET', '/customers/ada', undefined, { 'consistency-token': done.body.consistencyToken });
    expect([customer.name, customer.registeredAt]).to.deep.equal(['Ada', done.body.acceptedAt]);
    const { body: { items: [event] } } = await service.ask('GET', '/customers/ada/events');
    expect(event.metadata).to.include({ commandId: body.commandId, correlationId: 'for-ada', principal: 'anonymous' });
  });

  it('may be any command', async () => {
    const registered = await outcome(await send('POST', '/customers', { customerId: 'any', name: 'Any', currency: 'EUR' }));
    // The order is accepted before the orders service can have heard of the customer: it waits for the token.
    const placed = await outcome(await send('POST', '/orders', { customerId: 'any', currency: 'EUR', lines }, { 'consistency-token': registered.consistencyToken }));
    expect(placed.result.events, JSON.stringify(placed)).to.deep.equal(['OrderPlaced']);
    for (let tries = 0; (await service.ask('GET', placed.location)).body.status !== 'approved'; tries++) {
      if (tries > 400) throw new Error('the order was not approved');
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    for (const [method, path, body, event] of [
      ['POST', `${placed.location}/pay`, { paymentReference: 'p' }, 'OrderPaid'], ['POST', `${placed.location}/ship`, {}, 'OrderShipped'], ['POST', `${placed.location}/deliver`, {}, 'OrderDelivered'],
      ['PATCH', '/customers/any', { name: 'New' }, 'CustomerDetailsChanged'], ['PUT', '/customers/any/credit-limit', { creditLimitMinor: 1 }, 'CreditLimitSet'], ['POST', '/customers/any/suspend', { reason: 'x' }, 'CustomerSuspended'],
      ['POST', '/customers/any/reactivate', {}, 'CustomerReactivated'], ['POST', '/customers/any/close', { reason: 'x' }, 'CustomerClosed'],
    ] as const) {
      expect((await outcome(await send(method, path, body))).result?.events, path).to.deep.equal([event]);
    }
  });

  it('say why they were refused, as the answer would have', async () => {
    const refused = await outcome(await send('POST', '/orders/nobody/ship', {}, { 'x-correlation-id': 'my-id' }));
    expect(refused).to.include({ status: 'refused' }).and.not.have.any.keys('result', 'etag', 'consistencyToken');
    expect(refused.problem).to.deep.equal({ type: '/problems/order.unknown', title: 'There is no such order', status: 404, detail: 'orderId: nobody', instance: 'my-id', orderId: 'nobody' });
  });

  it('keep to If-Match', async () => {
    await outcome(await send('POST', '/customers', { customerId: 'match', name: 'Match', currency: 'EUR' }));
    expect((await outcome(await send('POST', '/customers/match/suspend', { reason: 'x' }, { 'if-match': '"7"' }))).problem.status).to.equal(412);
    expect((await outcome(await send('POST', '/customers/match/suspend', { reason: 'x' }, { 'if-match': '"1"' }))).status).to.equal('succeeded');
  });

  it('are one command under one Idempotency-Key, with the same bytes, for later and at once', async () => {
    const body = { name: 'Ada', currency: 'EUR' };
    const key = { 'idempotency-key': 'k 1' };
    const first = await send('POST', '/customers', body, key);
    const done = await outcome(first);
    const again = await send('POST', '/customers', body, key);
    expect([again.status, again.text, again.headers.get('location')]).to.deep.equal([202, first.text, first.headers.get('location')]);
    expect([first.headers.get('idempotency-replayed'), again.headers.get('idempotency-replayed')]).to.deep.equal([null, 'true']);
    const direct = await service.ask('POST', '/customers', body, key);
    expect([direct.status, direct.body, direct.headers.get('idempotency-replayed')]).to.deep.equal([201, done.result, 'true']);
    const other = await send('POST', '/customers', { ...body, name: 'Bob' }, key);
    expect([other.status, other.body.type]).to.deep.equal([422, '/problems/idempotency.key-reused']);
  });

  it('are checked before they are accepted', async () => {
    const pointer = async (answer: Promise<TestAnswer>) => {
      const { status, body } = await answer;
      return [status, body.errors?.[0]?.pointer];
    };
    expect(await pointer(send('POST', '/customers', { name: 'Ada' }))).to.deep.equal([400, '/currency']);
    expect(await pointer(send('POST', '/customers/ada/reactivate', {}, { 'idempotency-key': '' }))).to.deep.equal([400, 'Idempotency-Key']);
    expect(await pointer(send('POST', '/customers/ada/reactivate', {}, { 'if-match': '1' }))).to.deep.equal([400, 'If-Match']);
    expect(await pointer(send('POST', '/orders', { customerId: 'ada', currency: 'EUR', lines }, { 'consistency-token': 'x' }))).to.deep.equal([400, 'Consistency-Token']);
    for (const deadline of ['tomorrow', '2030-01-01', '1893456000', '2030-13-01T00:00:00Z', '2020-01-01T00:00:00Z', 'Wed, 01 Jan 2020 00:00:00 GMT']) {
      expect(await pointer(send('POST', '/customers/ada/reactivate', {}, { 'command-deadline': deadline })), deadline).to.deep.equal([400, 'Command-Deadline']);
      expect(await pointer(service.ask('POST', '/customers/ada/reactivate', {}, { 'command-deadline': deadline })), deadline).to.deep.equal([400, 'Command-Deadline']);
    }
    for (const deadline of ['2130-01-01T00:00:00Z', '2130-01-01T00:00:00.5+02:00', 'Sun, 01 Jan 2130 00:00:00 GMT']) {
      expect((await outcome(await send('POST', '/customers/ada/reactivate', {}, { 'command-deadline': deadline }))).deadline).to.match(/^(2130-01-01|2129-12-31)T/);
    }
  });

  it('are asked for by an id that exists', async () => {
    for (const method of ['GET', 'DELETE']) {
      const { status, body } = await service.ask(method, '/commands/nobody');
      expect([status, body.type]).to.deep.equal([404, '/problems/command.unknown']);
    }
    expect((await service.ask('PUT', '/commands/nobody', {})).headers.get('allow')).to.equal('GET, DELETE');
  });

  it('are found while the queue of the other context is away, and not denied while their own may have them', async () => {
    const { commandId } = await outcome(await send('POST', '/orders/nobody/ship', {}));
    const away = sinon.stub(service.commandQueues.customers!, 'find').rejects(new Rejection('log.unavailable'));
    try {
      expect((await service.ask('GET', `/commands/${commandId}`)).status).to.equal(200);
      expect((await service.ask('GET', '/commands/nobody')).status).to.equal(503);
    } finally {
      away.restore();
    }
  });

  it('cannot be cancelled once they were started', async () => {
    const { commandId } = await outcome(await send('POST', '/orders/nobody/ship', {}));
    const { status, body } = await service.ask('DELETE', `/commands/${commandId}`);
    expect([status, body.type, body.commandStatus]).to.deep.equal([409, '/problems/command.already-started', 'refused']);
  });

  it('are only what asks for it: other preferences are answered at once', async () => {
    for (const [prefer, status] of [['wait=1', 200], ['respond-asynchronously', 200], ['wait=1, Respond-Async', 202], ['respond-async; foo', 202]] as const) {
      expect((await service.ask('POST', '/customers/ada/reactivate', {}, { prefer })).status, prefer).to.equal(status);
    }
  });

  it('are counted', async () => {
    const { text } = await service.ask('GET', '/metrics');
    expect(text).to.match(/orderfold_commands_total\{type="RegisterCustomer",outcome="accepted"\} [1-9]/).and.match(/orderfold_commands_queued\{context="orders"\} 0/);
  });

  describe('while no worker runs', () => {
    let idle: TestService;
    before(async () => { idle = await startService({ ROLES: 'api,projector,policies', COMMAND_QUEUE_LIMIT: '3' }); });
    after(() => idle.end());
    const hand = (headers: Record<string, string> = {}) => idle.ask('POST', '/customers/ada/suspend', { reason: 'x' }, { ...later, ...headers });

    it('wait, can be cancelled, expire at their deadline, and are refused when too many wait', async () => {
      const [first, second] = [await hand({ 'idempotency-key': 'k' }), await hand({ 'command-deadline': new Date(Date.now() + 300).toISOString() })];
      const at = (answer: TestAnswer) => answer.headers.get('location')!;
      expect((await idle.ask('GET', at(first))).body.status).to.equal('accepted');
      const cancelled = await idle.ask('DELETE', at(first));
      expect([cancelled.status, cancelled.body.status]).to.deep.equal([200, 'cancelled']);
      expect((await idle.ask('DELETE', at(first))).status).to.equal(200);
      expect((await idle.ask('GET', at(first))).body).to.include({ status: 'cancelled' });
      expect((await hand({ 'idempotency-key': 'k' })).body.commandId).to.equal(first.body.commandId);
      await hand();
      await hand();
      const full = await hand();
      expect([full.status, full.body.type, full.headers.get('retry-after')]).to.deep.equal([503, '/problems/queue.full', '5']);
      expect((await idle.ask('POST', '/customers', { name: 'Ada', currency: 'EUR' })).status, 'at once').to.equal(201);
      await new Promise((resolve) => setTimeout(resolve, 350));
      expect((await idle.ask('GET', at(second))).body).to.include({ status: 'expired' });
      expect((await idle.ask('DELETE', at(second))).status).to.equal(409);
    });
  });

  it('repeated after their deadline, get their first answer again', async () => {
    const clock = { time: new Date(), now() { return this.time; } };
    const slow = await startService({ ROLES: 'api' }, clock);
    try {
      const deadline = { 'command-deadline': new Date(clock.time.getTime() + 60_000).toISOString() };
      const hand = (key: string, reason = 'x') => slow.ask('POST', '/customers/ada/suspend', { reason }, { ...later, ...deadline, 'idempotency-key': key });
      const first = await hand('k');
      clock.time = new Date(clock.time.getTime() + 120_000);
      const again = await hand('k');
      expect([again.status, again.text, again.headers.get('location'), again.headers.get('idempotency-replayed')]).to.deep.equal([202, first.text, first.headers.get('location'), 'true']);
      expect((await hand('k', 'y')).body.type).to.equal('/problems/idempotency.key-reused');
      expect((await hand('another')).body.errors).to.deep.equal([{ pointer: 'Command-Deadline', message: 'is past' }]);
    } finally {
      await slow.end();
    }
  });

  describe('with access tokens', () => {
    let guarded: TestService;
    let issuer: Awaited<ReturnType<typeof tokenIssuer>>;
    const bearer = async (claims: Record<string, unknown>, subject?: string) => ({ authorization: `Bearer ${await issuer.sign(claims, subject === undefined ? {} : { subject })}` });
    before(async () => {
      issuer = await tokenIssuer();
      guarded = await startService(issuer.settings);
    });
    after(async () => {
      await guarded.end();
      await issuer.end();
    });

    it('are seen and cancelled by whoever sent them, and by operators', async () => {
      const mine = await bearer({ scope: scopes });
      const { body: { commandId } } = await guarded.ask('POST', '/customers', { customerId: 'ada', name: 'Ada', currency: 'EUR' }, { ...later, ...mine });
      const at = `/commands/${commandId}`;
      expect((await settled(guarded, at, mine)).body.status).to.equal('succeeded');
      for (const method of ['GET', 'DELETE']) {
        const { status, body } = await guarded.ask(method, at, undefined, await bearer({ scope: scopes }, 'eve'));
        expect([status, body.type]).to.deep.equal([404, '/problems/command.unknown']);
        expect((await guarded.ask(method, at, undefined, await bearer({ scope: scopes, customerId: 'ada' }))).status).to.equal(404);
        expect((await guarded.ask(method, at, undefined, await bearer({ scope: 'ops', customerId: 'ada' }, 'eve'))).status).to.equal(404);
        expect((await guarded.ask(method, at, undefined, await bearer({ scope: 'ops' }, 'operator'))).status).to.equal(method === 'GET' ? 200 : 409);
        expect((await guarded.ask(method, at, undefined, await bearer({ scope: 'queries:orders' }))).status).to.equal(403);
      }
    });

    it('are done as the principal that sent them, and touch only what is theirs', async () => {
      const own = await bearer({ scope: scopes, customerId: 'mine' }, 'me');
      const { headers } = await guarded.ask('POST', '/customers/ada/suspend', { reason: 'x' }, { ...later, ...own });
      const { body } = await settled(guarded, headers.get('location')!, own);
      expect([body.status, body.problem?.type]).to.deep.equal(['refused', '/problems/customer.unknown']);
    });
  });

  it('survive a restart, in PostgreSQL', async () => {
    const fresh = await freshDatabase();
    try {
      const settings = { PROFILE: 'embedded', DATABASE_URL: fresh.url, CURSOR_SECRET: 'x'.repeat(32) } as const;
      const before = await startService({ ...settings, ROLES: 'api' });
      const locations: string[] = [];
      for (const [method, path, body] of [['POST', '/customers', { customerId: 'ada', name: 'Ada', currency: 'EUR' }], ['PUT', '/customers/ada/credit-limit', { creditLimitMinor: 1 }], ['PUT', '/customers/ada/credit-limit', { creditLimitMinor: 2 }]] as const) {
        locations.push((await before.ask(method, path, body, later)).headers.get('location')!);
      }
      await before.end();
      const after = await startService(settings);
      try {
        const ends = await Promise.all(locations.map((location) => settled(after, location)));
        expect(ends.map(({ body }) => [body.status, body.result.version])).to.deep.equal([['succeeded', 1], ['succeeded', 2], ['succeeded', 3]]);
      } finally {
        await after.end();
      }
    } finally {
      await fresh.drop();
    }
  });
});
