import { expect } from 'chai';
import pg from 'pg';
import { eventCodec, upcasters } from '../../../src/application/log/codec.js';
import { MemoryLogSignal } from '../../../src/infrastructure/memory/memory-log-signal.js';
import { openDatabase, type Database } from '../../../src/infrastructure/postgres/connection/database.js';
import { migrate } from '../../../src/infrastructure/postgres/connection/migrate.js';
import { PostgresCheckpointStore } from '../../../src/infrastructure/postgres/log/postgres-checkpoint-store.js';
import { PostgresEventStore } from '../../../src/infrastructure/postgres/log/postgres-event-store.js';
import { newEvent } from '../../support/events.js';
import { onEachPostgres, type TestDatabase } from '../../support/postgres.js';

/** What an administrator may have set for a database or a role, or for the whole server. */
const hostile = {
  jit: 'on', timezone: 'Asia/Tokyo', datestyle: 'German', standard_conforming_strings: 'off', array_nulls: 'off', search_path: 'public',
  default_transaction_isolation: 'serializable', default_transaction_deferrable: 'on', synchronous_commit: 'off',
  statement_timeout: '2s', lock_timeout: '1ms', idle_in_transaction_session_timeout: '2s', idle_session_timeout: '2s',
};

onEachPostgres('Sessions', (server) => {
  describe(`Sessions on ${server.name}`, function () {
    this.timeout(60_000);
    let fresh: TestDatabase;
    let database: Database | undefined;
    beforeEach(async () => {
      fresh = await server.freshDatabase({ migrated: false });
      const client = new pg.Client({ connectionString: fresh.url });
      await client.connect();
      for (const [name, value] of Object.entries(hostile)) await client.query(`alter database ${client.database ?? ''} set ${name} = '${value}'`);
      await client.end();
      await migrate(fresh.url, ['customers', 'orders', 'views']);
      database = openDatabase(fresh.url, 'orders');
    });
    afterEach(async () => {
      await database?.close();
      await fresh.drop();
    });

    const settingsOf = async (client: pg.Pool | pg.Client, names: readonly string[]) => {
      const { rows } = await client.query<{ name: string; setting: string }>('select name, current_setting(name) as setting from unnest($1::text[]) as s(name)', [names]);
      return Object.fromEntries(rows.map(({ name, setting }) => [name, setting]));
    };

    it('set what they depend on, whatever the defaults are', async () => {
      const { appends, statements, derived, connect } = database!;
      const expected = {
        jit: 'off', timezone: 'UTC', datestyle: 'ISO, DMY', standard_conforming_strings: 'on', array_nulls: 'on', search_path: 'orders', role: 'orderfold_orders',
        default_transaction_isolation: 'read committed', default_transaction_deferrable: 'off', synchronous_commit: 'on',
        statement_timeout: '30s', lock_timeout: '0', idle_in_transaction_session_timeout: '30s', idle_session_timeout: '0',
      };
      const own = { owner: await connect('owner'), runtime: await connect('runtime') };
      try {
        const sessions = await Promise.all([appends, statements, derived, own.runtime, own.owner].map((client) => settingsOf(client, Object.keys(expected))));
        expect(sessions).to.deep.equal([expected, expected, { ...expected, synchronous_commit: 'off' }, expected, { ...expected, role: 'none' }]);
      } finally {
        await own.owner.end();
        await own.runtime.end();
      }
    });

    it('append, read and fold likewise', async () => {
      const store = new PostgresEventStore(database!, 'orders', eventCodec(upcasters), new MemoryLogSignal());
      const event = newEvent({ type: 'OrderPaid', orderId: 'o', customerId: 'c', paymentReference: 'a \\ backslash, NULL and a \' quote', totalMinor: 1, at: '2026-01-01T00:00:00.000Z' });
      const outcomes = await Promise.all(Array.from({ length: 40 }, (_, n) => store.append({ stream: `s-${n}`, expectedVersion: 0, events: [event] })));
      expect(outcomes.map(({ status }) => status)).to.deep.equal(Array.from({ length: 40 }, () => 'appended'));
      const [read] = await store.readStream('s-0');
      expect(read?.data).to.deep.equal(event.data);
      expect(Date.parse(read?.recordedAt ?? '')).to.be.closeTo(Date.now(), 60_000);
      const checkpoints = new PostgresCheckpointStore(database!);
      expect(await Promise.all([checkpoints.advance('p', {}, { 'orders/0': 1 }), checkpoints.advance('p', {}, { 'orders/0': 2 })])).to.have.members([true, false]);
    });

    it('keep a stricter acknowledgement than the local disk\'s', async () => {
      const client = await database!.connect('owner');
      try {
        await client.query(`alter database ${client.database ?? ''} set synchronous_commit = 'remote_apply'`);
      } finally {
        await client.end();
      }
      expect(await settingsOf(database!.appends, ['synchronous_commit'])).to.include({ synchronous_commit: 'remote_apply' });
    });
  });
});
