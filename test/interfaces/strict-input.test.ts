import { connect } from 'node:net';
import { expect } from 'chai';
import type { Route } from '../../src/interfaces/http/routes/route.js';
import { routesOf, type HttpDependencies } from '../../src/interfaces/http/server/app.js';
import { createMetrics } from '../../src/interfaces/http/server/metrics.js';
import { startService, type TestService } from '../support/service.js';

/** The table itself; nothing in it is called. */
const routes = routesOf({ cursorSecret: 'x', customers: {}, orders: {} } as HttpDependencies, createMetrics());
const valid: Record<string, object> = {
  RegisterCustomer: { name: 'Ada', currency: 'EUR' }, ChangeCustomerDetails: { name: 'Ada' }, SetCreditLimit: { creditLimitMinor: 1 }, SuspendCustomer: { reason: 'x' },
  ReactivateCustomer: {}, CloseCustomer: { reason: 'x' }, PlaceOrder: { customerId: 'ada', currency: 'EUR', lines: [] }, PayOrder: { paymentReference: 'p' }, ShipOrder: {}, DeliverOrder: {}, CancelOrder: { reason: 'x' },
};
const path = ({ path: template }: Route) => template.replace(/:\w+/g, 'some-id');
const member = (body: string, text: string) => body.replace(/\{/, `{${text}${body === '{}' ? '' : ','}`);

describe('bad input', () => {
  let service: TestService;
  before(async () => { service = await startService(); });
  after(() => service.end());

  for (const route of routes.filter(({ body }) => body !== undefined)) {
    describe(`to ${route.method.toUpperCase()} ${route.path}`, () => {
      const body = JSON.stringify(valid[route.name]);
      const cases: [string, string | Uint8Array, number, string][] = [
        ['an unknown field', member(body, '"surprise": 1'), 400, '/surprise'],
        ['a duplicate key', member(body, '"x": {"a": [1, {"b": 1, "b": 2}]}'), 400, '/x/a/1/b'],
        ['a duplicate key, written differently', member(body, '"x": 1, "\\u0078": 2'), 400, '/x'],
        ['NUL', member(body, '"x": ["a\\u0000b"]'), 400, '/x/0'],
        ['NUL in a key', member(body, '"a\\u0000b": 1'), 400, '/a\0b'],
        ['half of a surrogate pair', member(body, '"x": "\\ud800"'), 400, '/x'],
        ['a number beyond 2^53 - 1', member(body, '"x": 9007199254740993'), 400, '/x'],
        ['a number that is not finite', member(body, '"x": 1e999'), 400, '/x'],
        ['depth over 32', member(body, `"x": ${'['.repeat(40)}${']'.repeat(40)}`), 400, `/x${'/0'.repeat(31)}`],
        ['depth without end', member(body, `"x": ${'['.repeat(100_000)}${']'.repeat(100_000)}`), 400, `/x${'/0'.repeat(31)}`],
        ['text that is no JSON', '{"a": }', 400, ''],
        ['nothing', '', 400, ''],
        ['an array', '[]', 400, ''],
        ['null', 'null', 400, ''],
        ['bytes that are not UTF-8', new Uint8Array([...Buffer.from('{"a": "'), 0xff, ...Buffer.from('"}')]), 400, ''],
        ['more than 256 kB', `{"a": "${'x'.repeat(262_144)}"}`, 413, ''],
      ];
      for (const [what, sent, status, pointer] of cases) {
        it(`${what} is refused, and the place is named`, async () => {
          const answer = await service.ask(route.method.toUpperCase(), path(route), sent);
          expect(answer.status, answer.text).to.equal(status);
          expect(answer.headers.get('content-type')).to.equal('application/problem+json; charset=utf-8');
          expect(answer.body.errors.map((error: { pointer: string }) => error.pointer)).to.include(pointer);
        });
      }
      it('a type of content other than JSON is refused', async () => {
        for (const headers of [{ 'content-type': 'text/plain' }, { 'content-type': 'application/json; charset=latin1' }, { 'content-type': 'application/json', 'content-encoding': 'gzip' }]) {
          expect((await service.ask(route.method.toUpperCase(), path(route), body, headers)).status).to.equal(415);
        }
        expect((await service.ask(route.method.toUpperCase(), path(route), body, { 'content-type': 'application/json; charset="UTF-8"' })).status).to.not.equal(415);
      });
      for (const [field, value] of Object.entries(valid[route.name]!)) {
        it(`${field} of a wrong type is refused`, async () => {
          for (const wrong of [typeof value === 'number' ? 'one' : 1, { deep: true }, true]) {
            const answer = await service.ask(route.method.toUpperCase(), path(route), { ...valid[route.name], [field]: wrong });
            expect([answer.status, answer.body.errors?.[0]?.pointer], JSON.stringify(wrong)).to.deep.equal([400, `/${field}`]);
          }
        });
      }
    });
  }

  for (const route of routes.filter(({ params }) => params !== undefined)) {
    it(`a path parameter that is no identifier is refused by ${route.method.toUpperCase()} ${route.path}`, async () => {
      for (const wrong of ['-x', 'a%20b', 'a%00', '%F0%9F%98%80', 'x'.repeat(200)]) {
        const answer = await service.ask(route.method.toUpperCase(), route.path.replace(/:\w+/g, wrong), route.body && valid[route.name]);
        const name = /:(\w+)/.exec(route.path)![1]!;
        // A trace may begin with a hyphen: its ids are the callers' own.
        if (wrong === '-x' && (name === 'correlationId' || name === 'code')) continue;
        expect([answer.status, answer.body.errors?.[0]?.pointer], wrong).to.deep.equal([400, `{${name}}`]);
      }
      expect((await service.ask(route.method.toUpperCase(), route.path.replace(/:\w+/g, '%E0%A4%A'), route.body && valid[route.name])).status).to.equal(400);
    });
  }

  for (const route of routes) {
    it(`an unknown or repeated parameter is refused by ${route.method.toUpperCase()} ${route.path}`, async () => {
      for (const query of ['surprise=1', 'a%00=1']) {
        const { status, body } = await service.ask(route.method.toUpperCase(), `${path(route)}?${query}`, route.body && valid[route.name]);
        expect([status, body.type], query).to.deep.equal([400, '/problems/input.invalid']);
      }
    });
  }

  for (const [at, pointer] of [
    ['/orders?limit=0', '?limit'], ['/orders?limit=201', '?limit'], ['/orders?limit=1.5', '?limit'], ['/orders?limit=1&limit=2', '?limit'], ['/orders?sort=reason', '?sort'], ['/orders?status=placed,lost', '?status'],
    ['/orders?paid=maybe', '?paid'], ['/orders?placedFrom=yesterday', '?placedFrom'], ['/orders?period=never', '?period'], ['/orders?period=last-month&placedTo=2026-01-01', '?'], ['/orders?facets=reason', '?facets'],
    ['/orders?q=', '?q'], ['/orders?q=%FF', '?q'], ['/orders?currency=eur', '?currency'], ['/orders?minTotalMinor=-1', '?minTotalMinor'], ['/customers?sort=placedAt', '?sort'], ['/customers?status=gone', '?status'],
    ['/orders/x?version=0', '?version'], ['/orders/x/events?after=-1', '?after'],
  ] as const) {
    it(`GET ${at} is refused at ${pointer}`, async () => {
      const { status, body } = await service.ask('GET', at);
      expect([status, body.errors?.[0]?.pointer]).to.deep.equal([400, pointer]);
    });
  }

  it('keeps nothing', async () => {
    expect((await service.stores.customers!.head()).position).to.equal(0);
    expect((await service.stores.orders!.head()).position).to.equal(0);
  });

  it('that is no HTTP is answered with 400 and does no harm', async () => {
    const { port } = new URL(service.url);
    const answer = await new Promise<string>((resolve, reject) => {
      const socket = connect(Number(port), '127.0.0.1', () => { socket.end('NONSENSE\r\n\r\n'); });
      let text = '';
      socket.on('data', (chunk) => { text += chunk.toString(); }).on('close', () => { resolve(text); }).on('error', reject);
    });
    expect(answer).to.match(/^HTTP\/1\.1 400 /);
    expect((await service.ask('GET', '/health/live')).status).to.equal(200);
  });

  it('larger than announced is cut off', async () => {
    const stream = new ReadableStream({ start(controller) { for (let n = 0; n < 40; n++) controller.enqueue(new Uint8Array(10_000).fill(32)); controller.close(); } });
    const answer = await fetch(`${service.url}/customers`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: stream, duplex: 'half' }).catch(() => undefined);
    // The connection may be gone before the answer is read.
    if (answer !== undefined) expect(answer.status).to.equal(413);
    expect((await service.ask('GET', '/health/live')).status).to.equal(200);
  });
});
