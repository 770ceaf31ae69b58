import { expect } from 'chai';
import { startService, type TestService } from '../support/service.js';

const lines = [{ sku: 'a', name: 'Chair', quantity: 2, unitPriceMinor: 500 }];

describe('commands over HTTP', () => {
  let service: TestService;
  before(async () => { service = await startService(); });
  after(() => service.end());

  let customers = 0;
  async function register(rest: object = {}) {
    const customerId = `c-${++customers}`;
    const answer = await service.ask('POST', '/customers', { customerId, name: 'Ada', currency: 'EUR', ...rest });
    expect(answer.status, answer.text).to.equal(201);
    return { customerId, token: answer.headers.get('consistency-token')! };
  }
  async function place(rest: object = {}) {
    const { customerId, token } = await register();
    const placed = await service.ask('POST', '/orders', { customerId, currency: 'EUR', lines, ...rest }, { 'consistency-token': token });
    expect(placed.status, placed.text).to.equal(201);
    const orderId = placed.body.id as string;
    await approved(orderId, placed.headers.get('consistency-token')!);
    return { customerId, orderId, placed };
  }
  async function approved(orderId: string, token: string) {
    for (let tries = 0; tries < 200; tries++) {
      const { body } = await service.ask('GET', `/orders/${orderId}`, undefined, { 'consistency-token': token });
      if (body.status !== 'placed') return;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    throw new Error(`${orderId} was not decided`);
  }

  it('register a customer and say where it is', async () => {
    const { status, body, headers } = await service.ask('POST', '/customers', { customerId: 'ada', name: 'Ada', currency: 'EUR', email: 'ada@example.com', address: { city: 'London' } });
    expect(status).to.equal(201);
    expect(body).to.deep.include({ id: 'ada', version: 1, events: ['CustomerRegistered'] });
    expect(headers.get('etag')).to.equal('"1"');
    expect(headers.get('location')).to.equal('/customers/ada');
    expect(headers.get('consistency-token')).to.equal(`customers:${body.position}:2`);
    expect(headers.get('x-correlation-id')).to.match(/^[0-9a-f-]{36}$/);
    const seen = await service.ask('GET', '/customers/ada', undefined, { 'consistency-token': headers.get('consistency-token')! });
    expect(seen.body).to.deep.include({ customerId: 'ada', status: 'active', creditLimitMinor: null, email: 'ada@example.com', version: 1 });
    expect(seen.headers.get('view-lag-ms')).to.equal('0');
    expect(seen.headers.get('view-position')).to.match(/^customers=\d+$/);
  });

  it('make an identifier when none was given', async () => {
    const { body, headers } = await service.ask('POST', '/customers', { name: 'Ada', currency: 'EUR' });
    expect(body.id).to.match(/^[0-9a-f]{8}-[0-9a-f]{4}-7/);
    expect(headers.get('location')).to.equal(`/customers/${body.id}`);
  });

  it('change a customer, step by step', async () => {
    const { customerId } = await register({ email: `x${customers}@example.com` });
    const path = `/customers/${customerId}`;
    const events = async (method: string, at: string, body: unknown) => {
      const answer = await service.ask(method, at, body);
      return [answer.status, answer.body.events ?? answer.body.type];
    };
    expect(await events('PATCH', path, { name: 'Ada L.', email: null })).to.deep.equal([200, ['CustomerDetailsChanged']]);
    expect(await events('PATCH', path, { name: 'Ada L.' })).to.deep.equal([200, []]);
    expect(await events('PUT', `${path}/credit-limit`, { creditLimitMinor: 5 })).to.deep.equal([200, ['CreditLimitSet']]);
    expect(await events('POST', `${path}/suspend`, { reason: 'late' })).to.deep.equal([200, ['CustomerSuspended']]);
    expect(await events('POST', `${path}/reactivate`, {})).to.deep.equal([200, ['CustomerReactivated']]);
    expect(await events('POST', `${path}/close`, { reason: 'moved' })).to.deep.equal([200, ['CustomerClosed']]);
    expect(await events('POST', `${path}/suspend`, { reason: 'late' })).to.deep.equal([409, '/problems/customer.closed']);
    const last = await service.ask('POST', `${path}/close`, { reason: 'moved' });
    const { body } = await service.ask('GET', path, undefined, { 'consistency-token': last.headers.get('consistency-token')! });
    expect(body).to.deep.include({ name: 'Ada L.', status: 'closed', reason: 'moved', creditLimitMinor: 5 }).and.not.have.property('email');
  });

  it('take an order through its life', async () => {
    const { orderId, placed } = await place({ orderId: 'life', shippingMinor: 49 });
    expect(placed.headers.get('location')).to.equal('/orders/life');
    for (const [action, body, event] of [['pay', { paymentReference: 'p' }, 'OrderPaid'], ['ship', { carrier: 'Post' }, 'OrderShipped'], ['deliver', {}, 'OrderDelivered']] as const) {
      const answer = await service.ask('POST', `/orders/${orderId}/${action}`, body);
      expect([answer.status, answer.body.events]).to.deep.equal([200, [event]]);
      expect((await service.ask('POST', `/orders/${orderId}/${action}`, body)).body.events).to.deep.equal([]);
    }
    const cancel = await service.ask('POST', `/orders/${orderId}/cancel`, { reason: 'late' });
    expect([cancel.status, cancel.body.type]).to.deep.equal([409, '/problems/order.already-shipped']);
    const { body, headers } = await service.ask('GET', `/orders/${orderId}?version=2`);
    expect([body.status, headers.get('etag')]).to.deep.equal(['approved', '"2"']);
    expect((await service.ask('GET', `/orders/${orderId}?version=6`)).body.type).to.equal('/problems/stream.unknown-version');
  });

  it('are refused with a problem that says why', async () => {
    const { status, headers, body } = await service.ask('POST', '/orders/nobody/ship', {});
    expect(status).to.equal(404);
    expect(headers.get('content-type')).to.match(/^application\/problem\+json/);
    expect(body).to.deep.equal({ type: '/problems/order.unknown', title: 'There is no such order', status: 404, detail: 'orderId: nobody', instance: headers.get('x-correlation-id'), orderId: 'nobody' });
    expect((await service.ask('GET', body.type)).body).to.deep.equal({ type: '/problems/order.unknown', title: 'There is no such order', status: 404 });
  });

  describe('with an Idempotency-Key', () => {
    it('are done once and answered with the same bytes, however the body is written', async () => {
      const first = await service.ask('POST', '/customers', '{"name": "Ada", "currency": "EUR"}', { 'idempotency-key': 'k 1' });
      const again = await service.ask('POST', '/customers', '{"currency":"EUR","name":"Ada"}', { 'idempotency-key': 'k 1' });
      expect(again.status).to.equal(201);
      expect(again.text).to.equal(first.text);
      for (const header of ['etag', 'location', 'consistency-token']) expect(again.headers.get(header)).to.equal(first.headers.get(header));
      expect([first.headers.get('idempotency-replayed'), again.headers.get('idempotency-replayed')]).to.deep.equal([null, 'true']);
    });
    it('are refused with another body, or for another resource', async () => {
      await service.ask('POST', '/customers', { name: 'Ada', currency: 'EUR' }, { 'idempotency-key': 'k2' });
      for (const [path, body] of [['/customers', { name: 'Bob', currency: 'EUR' }], ['/customers/x/suspend', { reason: 'x' }]] as const) {
        const { status } = await service.ask('POST', path, body, { 'idempotency-key': 'k2' });
        expect(status).to.equal(422);
      }
    });
    for (const key of ['', ' ', 'x'.repeat(256), 'ü']) {
      it(`are refused with the key "${key.slice(0, 5)}"`, async () => {
        const answer = await service.ask('POST', '/customers', { name: 'Ada', currency: 'EUR' }, { 'idempotency-key': key });
        // An empty header and one of spaces arrive as an empty one.
        expect([answer.status, answer.body.errors?.[0]?.pointer]).to.deep.equal([400, 'Idempotency-Key']);
      });
    }
  });

  it('with If-Match are done at that version only', async () => {
    const { customerId } = await register();
    expect((await service.ask('POST', `/customers/${customerId}/suspend`, { reason: 'x' }, { 'if-match': '"2"' })).status).to.equal(412);
    expect((await service.ask('POST', `/customers/${customerId}/suspend`, { reason: 'x' }, { 'if-match': '"1"' })).status).to.equal(200);
    expect((await service.ask('POST', `/customers/${customerId}/suspend`, { reason: 'x' }, { 'if-match': '1' })).body.errors[0].pointer).to.equal('If-Match');
  });

  it('carry the correlation id of their request into everything that they cause', async () => {
    const { customerId, token } = await register();
    const answer = await service.ask('POST', '/orders', { orderId: 'traced', customerId, currency: 'EUR', lines }, { 'consistency-token': token, 'x-correlation-id': 'my-id' });
    expect(answer.headers.get('x-correlation-id')).to.equal('my-id');
    await approved('traced', answer.headers.get('consistency-token')!);
    const { body } = await service.ask('GET', '/traces/my-id');
    const chain = (node: { type: string; caused: never[] }): string[] => [node.type, ...node.caused.flatMap(chain)];
    expect(body.events.flatMap(chain)).to.deep.equal(['OrderPlaced', 'CreditReserved', 'OrderApproved']);
    expect((await service.ask('GET', '/health/live', undefined, { 'x-correlation-id': 'bad id!' })).headers.get('x-correlation-id')).to.match(/^[0-9a-f-]{36}$/);
  });

  it('can be seen event by event, with the state after each and what it changed', async () => {
    const { orderId } = await place();
    await service.ask('POST', `/orders/${orderId}/ship`, { carrier: 'Post' });
    const { body } = await service.ask('GET', `/orders/${orderId}/events?limit=2`);
    expect(body.items.map((item: { type: string }) => item.type)).to.deep.equal(['OrderPlaced', 'OrderApproved']);
    expect(body.nextAfter).to.equal(2);
    const { body: rest } = await service.ask('GET', `/orders/${orderId}/events?after=2`);
    expect(rest).to.not.have.property('nextAfter');
    expect(rest.items).to.have.length(1);
    expect(rest.items[0].state.status).to.equal('shipped');
    expect(rest.items[0].changes.find(({ path }: { path: string }) => path === '/status')).to.deep.equal({ path: '/status', from: 'approved', to: 'shipped' });
    expect(rest.items[0].metadata.principal).to.equal('anonymous');
  });
});
