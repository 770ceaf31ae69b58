import { connect, type AddressInfo, type Socket } from 'node:net';
import { existsSync, readFileSync } from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import { expect } from 'chai';
import express from 'express';
import sinon from 'sinon';
import { Rejection } from '../../src/domain/shared/rejection.js';
import { listen } from '../../src/interfaces/cli/commands/serve.js';
import { Admission, queriesAtOnce } from '../../src/interfaces/http/server/admission.js';
import { createServer } from '../../src/interfaces/http/server/server.js';
import { eventually, startService } from '../support/service.js';

describe('admission', () => {
  let clock: sinon.SinonFakeTimers;
  beforeEach(() => { clock = sinon.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }); });
  afterEach(() => { clock.restore(); });

  /** Requests that are under way until they are told to end. */
  function requests(admission: Admission) {
    const begun: number[] = [];
    const refused: string[] = [];
    const ends: (() => void)[] = [];
    const come = (name: number) => {
      admission.run(() => new Promise<void>((resolve, reject) => {
        begun.push(name);
        ends[name] = name % 2 === 0 ? resolve : () => { reject(new Error('its work failed')); };
      })).catch((error: unknown) => { if (error instanceof Rejection) refused.push(`${name} ${error.code}`); });
    };
    return { begun, refused, come, end: async (name: number) => { ends[name]!(); await turn(); } };
  }

  it('lets so many in, and the others in the order in which they came, also behind one that failed', async () => {
    const { begun, refused, come, end } = requests(new Admission(3));
    for (let name = 0; name < 8; name++) come(name);
    expect(begun).to.deep.equal([0, 1, 2]);
    await end(1);
    expect(begun).to.deep.equal([0, 1, 2, 3]);
    await end(2);
    await end(0);
    expect(begun).to.deep.equal([0, 1, 2, 3, 4, 5]);
    come(8);
    for (const name of [3, 4, 5, 6, 7, 8]) await end(name);
    expect(begun).to.deep.equal([0, 1, 2, 3, 4, 5, 6, 7, 8]);
    expect(refused).to.deep.equal([]);
    for (let name = 9; name < 12; name++) come(name);
    expect(begun.slice(9), 'no place was lost').to.deep.equal([9, 10, 11]);
  });

  it('refuses whoever has waited for a second, and nobody else', async () => {
    const { begun, refused, come, end } = requests(new Admission(1));
    come(0);
    come(1);
    await clock.tickAsync(600);
    come(2);
    await clock.tickAsync(399);
    expect(refused).to.deep.equal([]);
    await clock.tickAsync(1);
    expect(refused).to.deep.equal(['1 service.busy']);
    await end(0);
    expect(begun, 'the place goes to the one that still waits').to.deep.equal([0, 2]);
    await clock.tickAsync(5_000);
    expect(refused).to.deep.equal(['1 service.busy']);
  });
});

describe('many requests at once', function () {
  this.timeout(30_000);

  it('to a store that hangs are answered promptly, and hold up nobody else', async () => {
    const service = await startService();
    let letGo: () => void = () => undefined;
    const hanging = sinon.stub(service.views.orders!, 'find').callsFake(() => new Promise((resolve) => {
      const before = letGo;
      letGo = () => { before(); resolve({ items: [], total: 0, facets: {}, progress: { applied: {}, behindSince: null, checkedAt: new Date().toISOString(), epochs: {} } }); };
    }));
    try {
      const first = Array.from({ length: queriesAtOnce }, () => service.ask('GET', '/orders'));
      await eventually('all of them hang', () => Promise.resolve(hanging.callCount === queriesAtOnce));
      const { status, headers, body } = await service.ask('GET', '/orders');
      expect([status, body.type, headers.get('retry-after')]).to.deep.equal([503, '/problems/service.busy', '1']);
      expect((await service.ask('GET', '/customers')).status).to.equal(200);
      expect((await service.ask('POST', '/customers', { name: 'Ada', currency: 'EUR' })).status).to.equal(201);
      const next = service.ask('GET', '/orders');
      letGo();
      hanging.restore();
      expect((await Promise.all([...first, next])).map((answer) => answer.status)).to.deep.equal(Array(queriesAtOnce + 1).fill(200));
    } finally {
      letGo();
      hanging.restore();
      await service.end();
    }
  });

  it('are taken before the first of them are answered: who connects last does not wait for all others', async () => {
    const many = 200;
    // A machine that stands still for longer than requests are held back may do so once, not every time.
    const takenByThen: number[] = [];
    for (let round = 0; round < 5 && (takenByThen.at(-1) ?? 0) < many / 4; round++) {
      let [taken, answered] = [0, 0];
      const app = express();
      app.use((_request, response) => {
        // As long as a command takes.
        for (const until = performance.now() + 5; performance.now() < until;);
        if (++answered === 5) takenByThen.push(taken);
        response.end();
      });
      const server = createServer(app).on('connection', () => { taken++; });
      const sockets: Socket[] = [];
      try {
        await listen(server, { host: '127.0.0.1', port: 0 });
        const { port } = server.address() as AddressInfo;
        for (let n = 0; n < many; n++) sockets.push(connect(port, '127.0.0.1').on('error', () => undefined).resume().setNoDelay().on('connect', function (this: Socket) { this.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'); }));
        await eventually('every answer', () => Promise.resolve(answered === many), 20_000, 5);
      } finally {
        for (const socket of sockets) socket.destroy();
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
      }
    }
    expect(Math.max(...takenByThen), `taken: ${takenByThen.join(', ')}`).to.be.at.least(many / 4);
  });

  it('are all taken: no connection waits until its TCP tries again', async () => {
    // More than Node.js lets wait by itself (511), as far as the system allows it.
    const allowed = existsSync('/proc/sys/net/core/somaxconn') ? Number(readFileSync('/proc/sys/net/core/somaxconn', 'utf8')) : 128;
    const many = Math.min(700, allowed - 28);
    // The first try of TCP to begin again comes after a second. A loaded machine may take as long once, not every time.
    const tries: number[] = [];
    for (let round = 0; round < 5 && (tries.at(-1) ?? Infinity) >= 900; round++) {
      const server = createServer(express());
      const sockets: Socket[] = [];
      try {
        await listen(server, { host: '127.0.0.1', port: 0 });
        const { port } = server.address() as AddressInfo;
        let taken = 0;
        server.on('connection', () => { taken++; });
        const began = performance.now();
        for (let n = 0; n < many; n++) sockets.push(connect(port, '127.0.0.1').on('error', () => undefined));
        await eventually(`${many} connections`, () => Promise.resolve(taken === many), 20_000, 1);
        tries.push(performance.now() - began);
      } finally {
        for (const socket of sockets) socket.destroy();
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
      }
    }
    expect(Math.min(...tries), `milliseconds: ${tries.map(Math.round).join(', ')}`).to.be.below(900);
  });
});
