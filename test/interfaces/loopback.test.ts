import { request } from 'node:http';
import { expect } from 'chai';
import { startService, tokenIssuer, type TestService } from '../support/service.js';

interface Sent { host?: string; origin?: string }

/** `fetch` sets these two itself. */
function send(service: TestService, path: string, headers: Sent, method = 'GET'): Promise<{ status: number; body: { type?: string; header?: string } }> {
  return new Promise((resolve, reject) => {
    const { port } = new URL(service.url);
    const asked = request({ port, host: '127.0.0.1', path, method, headers: { ...headers } }, (answer) => {
      let text = '';
      answer.on('data', (chunk: Buffer) => { text += chunk.toString(); })
        .on('end', () => { resolve({ status: answer.statusCode ?? 0, body: String(answer.headers['content-type']).includes('json') ? JSON.parse(text) as object : {} }); });
    });
    asked.once('error', reject).end();
  });
}

const paths = ['/orders', '/customers/nobody', '/health/live', '/health/ready', '/metrics', '/openapi.json', '/docs/', '/problems/order.unknown', '/nowhere'];

describe('with AUTH=off', () => {
  let service: TestService;
  before(async () => { service = await startService(); });
  after(() => service.end());

  for (const host of ['evil.example', 'evil.example:3000', 'localhost.evil.example', '127.0.0.1.nip.io', 'notlocalhost', '10.0.0.1', '192.168.0.1:3000', '[::2]:3000', 'a b', 'user@localhost.example', 'localhost@evil.example', '0.0.0.0']) {
    it(`nothing is answered to ${host}`, async () => {
      for (const path of paths) {
        const { status, body } = await send(service, path, { host });
        expect([status, body.type, body.header], path).to.deep.equal([403, '/problems/access.not-loopback', 'Host']);
      }
    });
  }
  for (const origin of ['https://evil.example', 'http://evil.example:3000', 'null', 'http://localhost.evil.example', 'file://', 'chrome-extension://abc', 'what?']) {
    it(`nothing is answered to a page of ${origin}`, async () => {
      for (const path of paths) {
        const { status, body } = await send(service, path, { host: 'localhost', origin });
        expect([status, body.type, body.header], path).to.deep.equal([403, '/problems/access.not-loopback', 'Origin']);
      }
      expect((await send(service, '/customers/nobody/reactivate', { origin }, 'POST')).status).to.equal(403);
    });
  }
  for (const host of ['localhost', 'LOCALHOST:80', 'localhost:3000', 'app.localhost', 'app.localhost:3000', '127.0.0.1', '127.0.0.1:3000', '127.8.9.10', '[::1]', '[::1]:3000', '[0:0:0:0:0:0:0:1]:1', 'localhost.']) {
    it(`${host} is answered`, async () => {
      expect((await send(service, '/orders', { host })).status).to.equal(200);
      expect((await send(service, '/orders', { host: 'localhost', origin: `http://${host}` })).status, 'as an origin').to.equal(200);
      expect((await send(service, '/orders', { host: 'localhost', origin: `https://${host}` })).status, 'as an origin').to.equal(200);
    });
  }
  it('the refusal is explained', async () => {
    const { status, body } = await service.ask('GET', '/problems/access.not-loopback');
    expect([status, body.status]).to.deep.equal([200, 403]);
  });
});

describe('with access tokens', () => {
  it('every name is answered', async () => {
    const issuer = await tokenIssuer();
    const service = await startService(issuer.settings);
    try {
      expect((await send(service, '/health/live', { host: 'orders.example', origin: 'https://shop.example' })).status).to.equal(200);
      expect((await send(service, '/orders', { host: 'orders.example', origin: 'https://shop.example' })).status).to.equal(401);
    } finally {
      await service.end();
      await issuer.end();
    }
  });
});
