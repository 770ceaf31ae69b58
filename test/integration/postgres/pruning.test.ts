import { expect } from 'chai';
import pg from 'pg';
import sinon from 'sinon';
import { openDatabase, type Database } from '../../../src/infrastructure/postgres/connection/database.js';
import { pruneHourly, pruneIdempotency } from '../../../src/infrastructure/postgres/log/prune-idempotency.js';
import { quiet } from '../../support/events.js';
import { freshDatabase, type TestDatabase } from '../../support/postgres.js';
import { eventually } from '../../support/service.js';

describe('forgetting the results of old requests', function () {
  this.timeout(30_000);
  let fresh: TestDatabase;
  let database: Database;
  let owner: pg.Client;
  beforeEach(async () => {
    fresh = await freshDatabase();
    database = openDatabase(fresh.url, 'orders');
    owner = new pg.Client({ connectionString: fresh.url });
    await owner.connect();
  });
  afterEach(async () => {
    sinon.restore();
    await Promise.all([owner.end(), database.close()]);
    await fresh.drop();
  });
  const left = async () => (await owner.query('select (select count(*)::int from orders.idempotency) as results, (select count(*)::int from orders.commands) as commands')).rows[0];

  it('is done in small pieces, however many there are', async () => {
    await owner.query(`
      insert into orders.idempotency (principal, key, digest, response, at) select 'p', n::text, 'd', 'r', now() - case when n > 10 then interval '25 hours' else '1 hour' end from generate_series(1, 3500) n;
      insert into orders.commands (command_id, stream, command, principal, status, finished_at)
        select n::text, 's', '{}', 'p', 'succeeded', now() - case when n > 10 then interval '25 hours' else '1 hour' end from generate_series(1, 1500) n;
      create table public.pieces (size int);
      create function public.count_piece() returns trigger language plpgsql security definer as $$ begin insert into public.pieces select count(*) from gone; return null; end $$;
      create trigger counts after delete on orders.idempotency referencing old table as gone for each statement execute function public.count_piece();
      create trigger counts after delete on orders.commands referencing old table as gone for each statement execute function public.count_piece()`);
    await pruneIdempotency(database, 24);
    expect(await left()).to.deep.equal({ results: 10, commands: 10 });
    const { rows: [pieces] } = await owner.query('select max(size) as largest, sum(size)::int as together from public.pieces');
    expect(pieces).to.deep.equal({ largest: 1_000, together: 3_490 + 1_490 });
  });

  it('says once that it fails, and does it in the next hour', async () => {
    await owner.query("insert into orders.idempotency (principal, key, digest, response, at) values ('p', 'k', 'd', 'r', now() - interval '25 hours'); alter table orders.idempotency rename to elsewhere");
    const clock = sinon.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    const warn = sinon.spy();
    const pruning = pruneHourly([database], 24, { ...quiet, warn });
    try {
      await eventually('it failed', async () => warn.callCount > 0);
      const query = sinon.spy(database.statements, 'query');
      clock.tick(3_600_000);
      await eventually('it was tried again', async () => query.callCount === 1);
      await owner.query('alter table orders.elsewhere rename to idempotency');
      clock.tick(3_600_000);
      await eventually('it was done', async () => (await left()).results === 0);
      expect(warn.callCount).to.equal(1);
    } finally {
      await pruning.end();
    }
  });
});
