import { expect } from 'chai';
import pg from 'pg';
import { eventCodec, upcasters } from '../../../src/application/log/codec.js';
import { encodeBatch } from '../../../src/infrastructure/postgres/log/append-batch.js';
import { openDatabase, type Database } from '../../../src/infrastructure/postgres/connection/database.js';
import { newEvent } from '../../support/events.js';
import { onEachPostgres, type TestDatabase } from '../../support/postgres.js';

const codec = eventCodec(upcasters);
const rows = 20_000;

// What autovacuum would set right within a minute is not waited for: it is off for these tables.
onEachPostgres('Plans', (server) => {
  describe(`Plans on ${server.name}`, function () {
    this.timeout(120_000);
    let fresh: TestDatabase;
    let database: Database;
    let owner: pg.Client;
    beforeEach(async () => {
      fresh = await server.freshDatabase();
      database = openDatabase(fresh.url, 'orders');
      owner = await database.connect('owner');
      for (const table of ['events', 'idempotency', 'unique_keys', 'commands']) await owner.query(`alter table ${table} set (autovacuum_enabled = off)`);
    });
    afterEach(async () => {
      await owner.end();
      await database.close();
      await fresh.drop();
    });

    let batches = 0;
    /** A batch that uses each table, as `encodeBatch` makes it. */
    const batch = () => {
      batches++;
      return encodeBatch(Array.from({ length: 8 }, (_, n) => ({
        stream: `s-${batches}-${n}`, expectedVersion: 0, events: [newEvent(), newEvent()],
        idempotency: { principal: 'p', key: `${batches}-${n}`, digest: 'd', response: 'r' },
        claims: [{ scope: 'e-mail', key: `${batches}-${n}` }], releases: [{ scope: 'e-mail', key: `${batches - 1}-${n}` }],
      })), codec);
    };
    /** Rows that whole-table scans of `tables` read during `work`. What earlier transactions read may not have been handed on yet, and is counted here as well. */
    const scannedBy = async (client: pg.ClientBase, tables: readonly string[], work: () => Promise<void>) => {
      const read = async () => (await client.query<{ read: number }>(
        'select sum(seq_tup_read)::int as read from pg_stat_xact_user_tables where schemaname = current_schema() and relname = any($1)', [tables])).rows[0]?.read ?? 0;
      await client.query('begin');
      const before = await read();
      await work();
      const after = await read();
      await client.query('commit');
      return after - before;
    };
    const fill = async () => {
      await owner.query(`insert into events (position, stream, version, type, schema_version, data, metadata, recorded_at)
        select h.position + n, 'filled-' || n, 1, 'OrderApproved', 1, '{"orderId":"o","customerId":"c"}', json_build_object('correlationId', n), now() from head h, generate_series(1, ${rows}) n`);
      await owner.query(`update head set position = position + ${rows}`);
      await owner.query(`insert into idempotency select 'filled', n, 'd', 'r', now() from generate_series(1, ${rows}) n`);
      await owner.query(`insert into unique_keys select 'filled', n, 's' from generate_series(1, ${rows}) n`);
    };
    const append = (client: pg.ClientBase) => scannedBy(client, ['events', 'idempotency', 'unique_keys'], async () => {
      const { rows: outcomes } = await client.query<{ status: string }>(batch());
      expect(outcomes.map(({ status }) => status)).to.deep.equal(Array.from({ length: 8 }, () => 'appended'));
    });

    for (const [state, before] of [['never analyzed', ''], ['analyzed while empty', 'vacuum analyze']] as const) {
      it(`appends by index with plans that were made on empty tables, ${state}, once these have grown`, async () => {
        if (before !== '') for (const table of ['events', 'idempotency', 'unique_keys']) await owner.query(`${before} ${table}`);
        const client = await database.appends.connect();
        try {
          // After five runs PostgreSQL may keep a plan for good.
          for (let n = 0; n < 8; n++) await append(client);
          await fill();
          expect(await append(client)).to.equal(0);
          await owner.query('analyze');
          expect(await append(client)).to.equal(0);
        } finally {
          client.release();
        }
      });
    }

    it('leases, ends and adds commands by index, likewise', async () => {
      await owner.query('vacuum analyze commands');
      const client = await database.statements.connect();
      let number = 0;
      const round = () => scannedBy(client, ['commands'], async () => {
        const id = `c-${++number}`;
        await client.query("select from enqueue_command($1, $2, '{}', 'p', $1, 'd', null, 10000)", [id, `s-${number}`]);
        const { rows: leased } = await client.query<{ command_id: string; fence: number }>({ name: 'lease', text: 'select command_id, fence from lease_commands(16, 1000)' });
        expect(leased.map(({ command_id }) => command_id)).to.deep.equal([id]);
        await client.query("select finish_command($1, $2, 'succeeded', '{}')", [id, leased[0]?.fence]);
      });
      try {
        for (let n = 0; n < 8; n++) await round();
        await owner.query(`insert into commands (command_id, stream, command, principal, status, finished_at) select 'f-' || n, 's', '{}', 'p', 'succeeded', now() from generate_series(1, ${rows}) n`);
        expect(await round()).to.equal(0);
        await owner.query('analyze commands');
        expect(await round()).to.equal(0);
      } finally {
        client.release();
      }
    });

    it('depend on no planner setting', async () => {
      const { rows: functions } = await owner.query<{ setting: string }>("select distinct unnest(proconfig) as setting from pg_proc where pronamespace = current_schema()::regnamespace");
      expect(functions.map(({ setting }) => setting)).to.deep.equal(['plan_cache_mode=force_custom_plan']);
    });
  });
});
