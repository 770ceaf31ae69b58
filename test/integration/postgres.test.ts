import { rm } from 'node:fs/promises';
import { expect } from 'chai';
import pg from 'pg';
import { eventCodec, upcasters } from '../../src/application/log/codec.js';
import { Rejection } from '../../src/domain/shared/rejection.js';
import { MemoryLogSignal } from '../../src/infrastructure/memory/memory-log-signal.js';
import { applicationName, openDatabase, type Schema } from '../../src/infrastructure/postgres/connection/database.js';
import { openEmbeddedPostgres } from '../../src/infrastructure/postgres/embedded/embedded-postgres.js';
import { OperatorError } from '../../src/infrastructure/process/operator-error.js';
import { migrate } from '../../src/infrastructure/postgres/connection/migrate.js';
import { PostgresEventStore } from '../../src/infrastructure/postgres/log/postgres-event-store.js';
import { pruneIdempotency } from '../../src/infrastructure/postgres/log/prune-idempotency.js';
import { hotStreams } from '../faults/hot-streams.js';
import { newEvent } from '../support/events.js';
import { onEachPostgres, temporaryDirectory, type TestDatabase } from '../support/postgres.js';
import { proxied, type TcpProxy } from '../support/tcp-proxy.js';

const codec = eventCodec(upcasters);

onEachPostgres('PostgreSQL', (server) => {
  describe(`PostgreSQL: ${server.name}`, function () {
    this.timeout(60_000);
    let fresh: TestDatabase;
    beforeEach(async () => { fresh = await server.freshDatabase(); });
    afterEach(() => fresh.drop());

    async function as(who: 'owner' | 'runtime', schema: Schema, statement: string): Promise<string> {
      const database = openDatabase(fresh.url, schema);
      const client = await database.connect(who);
      try {
        await client.query(statement);
        return 'done';
      } catch (error) {
        return (error as pg.DatabaseError).code ?? String(error);
      } finally {
        await client.end();
        await database.close();
      }
    }

    it('lets the runtime\'s role add and read events, and nothing else', async () => {
      const database = openDatabase(fresh.url, 'orders');
      await new PostgresEventStore(database, 'orders', codec, new MemoryLogSignal()).append({ stream: 's', expectedVersion: 0, events: [newEvent()] });
      await database.close();
      expect(await as('runtime', 'orders', 'select * from events')).to.equal('done');
      for (const statement of ["update events set type = 'x'", 'delete from events', 'truncate events', 'drop table events', 'alter table events disable trigger all', 'create table mine (x int)']) {
        expect(await as('runtime', 'orders', statement), statement).to.equal('42501');
      }
      // The owner is stopped by the trigger, even where no row would change.
      for (const statement of ["update events set type = 'x'", 'delete from events', 'delete from events where false', 'truncate events']) {
        expect(await as('owner', 'orders', statement), statement).to.equal('23001');
      }
    });

    it('shows a context nothing of the other', async () => {
      for (const [schema, other] of [['orders', 'customers'], ['customers', 'orders'], ['views', 'orders'], ['orders', 'views']] as const) {
        expect(await as('runtime', schema, `select * from ${other}.${other === 'views' ? 'migrations' : 'events'}`), `${schema} in ${other}`).to.equal('42501');
      }
    });

    it('is migrated by many at once, once', async () => {
      const empty = await server.freshDatabase({ migrated: false });
      try {
        await Promise.all(Array.from({ length: 6 }, () => migrate(empty.url, ['customers', 'orders', 'views'])));
        const client = new pg.Client({ connectionString: empty.url });
        await client.connect();
        const { rows } = await client.query('select (select count(*) > 0 and count(*) = count(distinct name) from orders.migrations) as once, (select count(*)::int from customers.head) as heads');
        await client.end();
        expect(rows).to.deep.equal([{ once: true, heads: 1 }]);
      } finally {
        await empty.drop();
      }
    });

    it('is refused in one line where the connection cannot be encrypted, or the database cannot hold every name', async () => {
      const refusal = (url: string) => migrate(url, ['orders']).catch((error: unknown) => error);
      expect(await refusal(`${fresh.url}?sslmode=verify-full`)).to.be.instanceOf(OperatorError).with.property('message').that.matches(/could not be encrypted.*check sslmode/);
      const client = new pg.Client({ connectionString: fresh.url });
      await client.connect();
      const name = `${client.database ?? ''}_latin`;
      try {
        await client.query(`create database ${name} encoding 'LATIN1' locale 'C' template template0`);
        expect(await refusal(Object.assign(new URL(fresh.url), { pathname: `/${name}` }).toString())).to.be.instanceOf(OperatorError).with.property('message').that.matches(/encoded in LATIN1/);
      } finally {
        await client.query(`drop database if exists ${name}`);
        await client.end();
      }
    });

    it('keeps positions without a hole while several processes append to the same streams', async () => {
      const result = await hotStreams(fresh.url, { processes: 3, inFlight: 16, streams: 5, seconds: 2 });
      expect(result).to.match(/acknowledged = stored/);
    });

    it('forgets the results of old requests, and no others', async () => {
      const database = openDatabase(fresh.url, 'orders');
      const store = new PostgresEventStore(database, 'orders', codec, new MemoryLogSignal());
      for (const key of ['old', 'new']) await store.append({ stream: key, expectedVersion: 0, events: [newEvent()], idempotency: { principal: 'p', key, digest: 'd', response: 'r' } });
      expect(await as('owner', 'orders', "update idempotency set at = now() - interval '25 hours' where key = 'old'")).to.equal('done');
      await pruneIdempotency(database, 24);
      expect(await Promise.all(['old', 'new'].map(async (key) => (await store.findResult({ principal: 'p', key }))?.response))).to.deep.equal([undefined, 'r']);
      await database.close();
    });

    describe('behind a network that fails', () => {
      let proxy: TcpProxy;
      let store: PostgresEventStore<'orders'>;
      let close: () => Promise<void>;
      beforeEach(async () => {
        const through = await proxied(fresh.url);
        proxy = through.proxy;
        const database = openDatabase(through.url, 'orders');
        store = new PostgresEventStore(database, 'orders', codec, new MemoryLogSignal(), { patienceMs: 1_000 });
        close = async () => { await database.close(); await proxy.close(); };
      });
      afterEach(() => close());

      it('learns what became of an append whose answer was lost, and stores it once', async () => {
        await store.append({ stream: 'warm', expectedVersion: 0, events: [newEvent()] });
        for (let n = 0; n < 5; n++) {
          proxy.dropAnswerTo('append-batch');
          const outcomes = await Promise.all([
            store.append({ stream: `a-${n}`, expectedVersion: 0, events: [newEvent(), newEvent()] }),
            store.append({ stream: `b-${n}`, expectedVersion: 0, events: [newEvent()], idempotency: { principal: 'p', key: `k-${n}`, digest: 'd', response: 'r' } }),
            store.append({ stream: 'warm', expectedVersion: 9, events: [newEvent()] }),
          ]);
          expect(outcomes.map(({ status }) => status)).to.deep.equal(['appended', 'appended', 'conflict']);
          expect(outcomes[0]).to.include({ version: 2, position: 3 + n * 3 });
          expect(await store.readStream(`a-${n}`)).to.have.length(2);
        }
        expect((await store.head()).position).to.equal(16);
      });

      it('refuses while the server is away, and recovers by itself', async () => {
        await store.append({ stream: 's', expectedVersion: 0, events: [newEvent()] });
        proxy.cut();
        const began = performance.now();
        const attempts = await Promise.allSettled([
          store.append({ stream: 's', expectedVersion: 1, events: [newEvent()] }), store.readStream('s'), store.readLog({ after: 0, limit: 1 }), store.head(), store.findResult({ principal: 'p', key: 'k' }),
        ]);
        for (const attempt of attempts) {
          expect(attempt.status).to.equal('rejected');
          if (attempt.status === 'rejected') expect(attempt.reason).to.be.instanceOf(Rejection).with.property('code', 'log.unavailable');
        }
        expect(performance.now() - began).to.be.below(5_000);
        proxy.restore();
        expect((await store.append({ stream: 's', expectedVersion: 1, events: [newEvent()] })).status).to.equal('appended');
        expect(await store.readStream('s')).to.have.length(2);
      });

      it('keeps what waits through a short outage', async () => {
        await store.append({ stream: 's', expectedVersion: 0, events: [newEvent()] });
        proxy.cut();
        const waiting = Promise.all(Array.from({ length: 20 }, (_, n) => store.append({ stream: `w-${n}`, expectedVersion: 0, events: [newEvent()] })));
        setTimeout(() => { proxy.restore(); }, 300);
        expect((await waiting).map(({ status }) => status)).to.deep.equal(Array.from({ length: 20 }, () => 'appended'));
        expect((await store.head()).position).to.equal(21);
      });
    });

    it('is refused when too much waits', async () => {
      const database = openDatabase(fresh.url, 'orders');
      const store = new PostgresEventStore(database, 'orders', codec, new MemoryLogSignal(), { queue: 3 });
      const outcomes = await Promise.allSettled(Array.from({ length: 5 }, (_, n) => store.append({ stream: `s-${n}`, expectedVersion: 0, events: [newEvent()] })));
      expect(outcomes.map(({ status }) => status)).to.deep.equal(['fulfilled', 'fulfilled', 'fulfilled', 'rejected', 'rejected']);
      await database.close();
    });
  });
});

describe('the embedded server', function () {
  this.timeout(60_000);
  let directory: string;
  beforeEach(async () => { directory = await temporaryDirectory(); });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  const connected = async (url: string) => {
    const client = new pg.Client({ connectionString: url, application_name: applicationName });
    client.on('error', () => undefined);
    await client.connect();
    return client;
  };
  const answers = async (url: string) => connected(url).then(async (client) => { await client.end(); return true; }, () => false);

  it('is shared by those who open it at once, and stopped by the last one out', async () => {
    const [one, other] = await Promise.all([openEmbeddedPostgres(directory), openEmbeddedPostgres(directory)]);
    expect(one.url).to.equal(other.url);
    const client = await connected(other.url);
    await one.close();
    expect(await answers(other.url)).to.equal(true);
    await client.end();
    await other.close();
    expect(await answers(other.url)).to.equal(false);
  });

  it('keeps its data, and is found again when nobody closed it', async () => {
    const lost = await openEmbeddedPostgres(directory);
    const client = await connected(lost.url);
    await client.query('create table kept (x int)');
    await client.end();
    const found = await openEmbeddedPostgres(directory);
    expect(found.url).to.equal(lost.url);
    await found.close();
    const restarted = await openEmbeddedPostgres(directory);
    const again = await connected(restarted.url);
    expect((await again.query('select * from kept')).rows).to.deep.equal([]);
    await again.end();
    await restarted.close();
  });
});
