import { Agent, request, type IncomingHttpHeaders } from 'node:http';
import { expect } from 'chai';
import { startService, type TestService } from '../support/service.js';

describe('a connection', () => {
  let service: TestService;
  let agent: Agent;
  before(async () => { service = await startService(); });
  beforeEach(() => { agent = new Agent({ keepAlive: true, maxSockets: 1 }); });
  afterEach(() => { agent.destroy(); });
  after(() => service.end());

  const send = (method: string, path: string, body?: string, headers: Record<string, string> = {}) => new Promise<{ status: number; headers: IncomingHttpHeaders; reused: boolean }>((resolve, reject) => {
    const { port } = new URL(service.url);
    const asked = request({ agent, port, host: '127.0.0.1', path, method, headers: { ...(body !== undefined && { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)) }), ...headers } }, (answer) => {
      answer.resume().on('end', () => { resolve({ status: answer.statusCode ?? 0, headers: answer.headers, reused: asked.reusedSocket }); });
    });
    asked.once('error', reject).end(body);
  });

  for (const [method, path, status] of [
    ['GET', '/orders/nobody', 404], ['DELETE', '/commands/nobody', 404], ['GET', '/orders?limit=0', 400], ['GET', '/nowhere', 404], ['DELETE', '/orders/nobody', 405], ['GET', '/orders/%E0%A4%A', 400],
  ] as const) {
    it(`outlives a problem: ${method} ${path}`, async () => {
      await send('GET', '/health/live');
      const refused = await send(method, path);
      expect([refused.status, refused.headers.connection, refused.reused]).to.deep.equal([status, 'keep-alive', true]);
      expect(await send('GET', '/health/live')).to.include({ status: 200, reused: true });
    });
  }

  it('outlives a command that is refused', async () => {
    expect((await send('POST', '/orders/nobody/ship', '{}')).headers.connection).to.equal('keep-alive');
    expect((await send('POST', '/orders/nobody/ship', '{}', { 'content-type': 'text/plain' })).status).to.equal(415);
    expect(await send('GET', '/health/live')).to.include({ status: 200 });
  });

  it('ends where a body was not read to its end: the rest of it is not waited for', async () => {
    const answer = await send('POST', '/orders/nobody/ship', 'x'.repeat(300_000)).catch(() => undefined);
    // The connection may be gone before the answer is read.
    if (answer !== undefined) expect([answer.status, answer.headers.connection]).to.deep.equal([413, 'close']);
    expect(await send('GET', '/health/live')).to.include({ status: 200, reused: false });
  });
});
