import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import type { Leadership } from '../../src/application/ports/leadership.js';
import { openDatabase, type Database } from '../../src/infrastructure/postgres/connection/database.js';
import { PostgresEventStore } from '../../src/infrastructure/postgres/log/postgres-event-store.js';
import { PostgresLeadership } from '../../src/infrastructure/postgres/log/postgres-leadership.js';
import { eventCodec, upcasters } from '../../src/application/log/codec.js';
import { MemoryLogSignal } from '../../src/infrastructure/memory/memory-log-signal.js';
import { crashPoints, realCrashPoints } from '../faults/crash-points.js';
import { sharedServers } from '../faults/behind-proxies.js';
import { projectorKills } from '../faults/projectors.js';
import { servers } from '../faults/servers.js';
import { newEvent } from '../support/events.js';
import { notRun, realServers } from '../support/infra.js';
import { freshDatabase, type TestDatabase } from '../support/postgres.js';
import { proxied, type TcpProxy } from '../support/tcp-proxy.js';

// The short forms of the trials; `npm run faults` has the long ones.

describe('relay, projectors and policies, broken at every call', function () {
  this.timeout(120_000);
  it('end with the log in the topic, the fold in the views, and every command applied once', async () => {
    expect(await crashPoints({ seed: 2, flavours: ['dies after', 'dies within', 'fails before'] })).to.include('every command was applied once');
  });
});

describe('a PostgreSQL that falls silent', function () {
  this.timeout(60_000);
  let fresh: TestDatabase;
  let proxy: TcpProxy;
  let silent: Database;
  let direct: Database;
  beforeEach(async () => {
    fresh = await freshDatabase();
    const way = await proxied(fresh.url);
    proxy = way.proxy;
    silent = openDatabase(way.url, 'orders');
    direct = openDatabase(fresh.url, 'orders');
  });
  afterEach(async () => {
    await proxy.close();
    await silent.close();
    await direct.close();
    await fresh.drop();
  });

  it('is no leader\'s any more: who leads knows it before another one does', async () => {
    const said: string[] = [];
    const until = (leadership: Leadership, name: string, stop: AbortSignal) => leadership.lead('a relay', stop, async (ends) => {
      said.push(`${name} leads`);
      await new Promise<void>((resolve) => { ends.addEventListener('abort', () => { resolve(); }, { once: true }); });
      said.push(`${name} gives up`);
    });
    const stop = new AbortController();
    const lease = { beatMs: 500, answerMs: 1_000, leaseMs: 4_000 };
    const first = until(new PostgresLeadership(silent, lease), 'first', AbortSignal.any([])).catch(() => undefined);
    while (said.length === 0) await sleep(10);
    const second = until(new PostgresLeadership(direct, lease), 'second', stop.signal);
    proxy.blackHole();
    const began = performance.now();
    while (said.length < 3) await sleep(20);
    const tookMs = performance.now() - began;
    stop.abort();
    await Promise.all([first, second]);
    expect(said).to.deep.equal(['first leads', 'first gives up', 'second leads', 'second gives up']);
    expect(tookMs).to.be.below(10_000);
  });

  it('is told from one that is slow: a read and an append are refused, and what was in doubt is looked up afterwards', async () => {
    const store = new PostgresEventStore(silent, 'orders', eventCodec(upcasters), new MemoryLogSignal());
    await store.append({ stream: 'order-1', expectedVersion: 0, events: [newEvent()] });
    proxy.blackHole();
    const began = performance.now();
    const outcomes = await Promise.allSettled([store.head(), store.append({ stream: 'order-1', expectedVersion: 1, events: [newEvent()] })]);
    for (const outcome of outcomes) expect(outcome).to.have.nested.property('reason.code', 'log.unavailable');
    expect(performance.now() - began).to.be.below(15_000);
    proxy.restore();
    expect((await store.head()).position).to.be.oneOf([1, 2]);
  });
});

if (realServers === undefined) notRun('the production profile, its servers away');
else {
  const real = realServers;
  describe('the production profile, its servers away', function () {
    this.timeout(180_000);

    it('finds every document that a view has applied, wherever its projector died, and publishes every event', async () => {
      expect(await realCrashPoints(real, { quick: true })).to.include('on real servers');
    });

    for (const [why, trial] of [
      ['goes on without Elasticsearch, refuses what it cannot answer, and catches up',
        (environment) => servers(environment, { seed: 2, clients: 2, faultMs: 8_000, faults: [['elasticsearch', 'hole']] })],
      ['has views equal to the fold, and documents that never go back, while projectors are killed', (environment) => projectorKills(environment, { seed: 2, seconds: 8, everyMs: 3_000 })],
    ] satisfies [string, (environment: NonNullable<Awaited<ReturnType<typeof sharedServers>>>) => Promise<string>][]) {
      it(why, async () => {
        const environment = (await sharedServers())!;
        try {
          expect(await trial(environment)).to.be.a('string');
        } finally {
          await environment.close();
        }
      });
    }
  });
}
