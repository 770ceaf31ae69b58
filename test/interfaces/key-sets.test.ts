import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { readFile } from 'node:fs/promises';
import { expect } from 'chai';
import { readConfig } from '../../src/infrastructure/process/config.js';
import { openKeySet } from '../../src/infrastructure/network/jwks.js';
import { OperatorError } from '../../src/infrastructure/process/operator-error.js';
import { createAuthenticator } from '../../src/interfaces/http/request/access.js';
import { quiet } from '../support/events.js';
import { startService, tokenIssuer } from '../support/service.js';

describe('a key set at a URL', () => {
  let issuer: Awaited<ReturnType<typeof tokenIssuer>>;
  let server: Server;
  let url: string;
  let answer: { status: number; body: string };
  let asked: number;
  before(async () => { issuer = await tokenIssuer(); });
  after(() => issuer.end());
  beforeEach(async () => {
    asked = 0;
    answer = { status: 200, body: await readFile(issuer.settings.JWT_JWKS, 'utf8') };
    server = createServer((_request, response) => {
      asked++;
      response.writeHead(answer.status, { 'content-type': 'application/json' }).end(answer.body);
    });
    await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/keys`;
  });
  afterEach(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  const bearer = async (options = {}) => `Bearer ${await issuer.sign({ scope: 'ops' }, options)}`;

  it('that cannot be fetched is an outage, and no fault of the caller\'s', async () => {
    const service = await startService({ ...issuer.settings, JWT_JWKS: url });
    try {
      for (const [status, body] of [[500, '{}'], [200, 'what?'], [200, '{"keys": 1}'], [302, '']] as const) {
        answer = { status, body };
        const { status: answered, body: problem, headers } = await service.ask('GET', '/ops/views', undefined, { authorization: await bearer() });
        expect([answered, problem.type, headers.get('retry-after')], body).to.deep.equal([503, '/problems/access.unavailable', '2']);
        expect(headers.get('www-authenticate')).to.equal(null);
      }
      expect((await service.ask('GET', '/health/live')).status).to.equal(200);
    } finally {
      await service.end();
    }
  });

  it('that cannot be fetched is logged once, asked again after a while, and told when it is back', async () => {
    const log: string[] = [];
    const logger = { ...quiet, error: (_facts: object, message: string) => { log.push(message); }, info: (_facts: object, message: string) => { log.push(message); } };
    const authenticate = createAuthenticator({ keys: await openKeySet(url, logger, { retryMs: 300 }), issuer: issuer.settings.JWT_ISSUER, audience: 'orderfold' });
    const token = await bearer();
    const outcome = async (options?: object) => Promise.resolve(authenticate(options === undefined ? token : await bearer(options))).then(() => 'in', (error: unknown) => (error as { code: string }).code);
    answer.status = 500;
    expect(await Promise.all(Array.from({ length: 20 }, () => outcome()))).to.deep.equal(Array(20).fill('access.unavailable'));
    expect(log).to.deep.equal(['the keys that tokens are signed with cannot be fetched']);
    expect(asked).to.be.within(1, 5);
    answer.status = 200;
    for (let tries = 0; await outcome() !== 'in'; tries++) {
      if (tries > 200) throw new Error('the keys were not fetched again');
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect(log.slice(1)).to.deep.equal(['the keys that tokens are signed with can be fetched again']);
    answer.status = 500;
    expect(await outcome({ subject: 'another' }), 'the keys are still known').to.equal('in');
    expect(await outcome({ foreign: true })).to.equal('access.unauthenticated');
  });

  it('is not fetched in the clear from another machine', () => {
    const config = (jwks: string) => readConfig({ ...issuer.settings, PROFILE: 'memory', JWT_JWKS: jwks });
    for (const jwks of ['http://login.example.org/keys', 'HTTP://10.0.0.1/keys', 'http://localhost.example.org/keys']) expect(() => config(jwks), jwks).to.throw(OperatorError, /JWT_JWKS=.* https/);
    for (const jwks of ['https://login.example.org/keys', 'http://localhost:8080/keys', 'http://127.0.0.1/keys', 'http://[::1]/keys', 'keys.json']) expect(config(jwks).auth).to.include({ jwks });
  });

  it('has a URL that can be read, or stops the start in one line', () => {
    for (const jwks of ['https://', 'https://a b/keys', 'http://[::1/keys']) expect(() => readConfig({ ...issuer.settings, PROFILE: 'memory', JWT_JWKS: jwks }), jwks).to.throw(OperatorError, `JWT_JWKS=${jwks} is not a URL.`);
  });
});
