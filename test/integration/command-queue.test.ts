import { expect } from 'chai';
import { openDatabase, type Database } from '../../src/infrastructure/postgres/connection/database.js';
import { PostgresCommandQueue } from '../../src/infrastructure/postgres/log/postgres-command-queue.js';
import { pruneIdempotency } from '../../src/infrastructure/postgres/log/prune-idempotency.js';
import { done, newCommand, refusal } from '../contracts/command-queue.contract.js';
import { freshDatabase, type TestDatabase } from '../support/postgres.js';
import { proxied, type TcpProxy } from '../support/tcp-proxy.js';

const never = new AbortController().signal;

describe('the command queue in PostgreSQL', function () {
  this.timeout(30_000);
  let fresh: TestDatabase;
  let proxy: TcpProxy;
  let database: Database;
  let queue: PostgresCommandQueue;
  beforeEach(async () => {
    fresh = await freshDatabase();
    const through = await proxied(fresh.url);
    ({ proxy } = through);
    database = openDatabase(through.url, 'orders');
    queue = new PostgresCommandQueue(database, 100);
  });
  afterEach(async () => {
    await database.close();
    await proxy.close();
    await fresh.drop();
  });
  const lease = async () => (await queue.lease({ limit: 1, leaseMs: 5_000, waitMs: 0 }, never))[0]!;

  it('accepts a command once when the answer is lost', async () => {
    proxy.dropAnswerTo('enqueue_command');
    const command = newCommand('s');
    expect((await queue.enqueue(command)).commandId).to.equal(command.commandId);
    expect(await queue.depth()).to.equal(1);
  });

  it('keeps an end whose answer is lost', async () => {
    const command = newCommand('s');
    await queue.enqueue(command);
    const held = await lease();
    proxy.dropAnswerTo('finish_command');
    expect(await refusal(queue.finish(held, done))).to.equal('log.unavailable');
    expect(await queue.finish(held, done)).to.equal(true);
    expect((await queue.find(command.commandId))?.end).to.deep.equal(done);
  });

  it('says so when the database is away, and goes on when it is back', async () => {
    await queue.enqueue(newCommand('s'));
    proxy.cut();
    for (const work of [lease(), queue.find('x'), queue.depth(), queue.list({ limit: 1 }), queue.enqueue(newCommand('t')), queue.cancel('x')]) expect(await refusal(work)).to.equal('log.unavailable');
    proxy.restore();
    expect((await lease()).attempt).to.equal(1);
  });

  it('forgets what ended long ago, and nothing else', async () => {
    const commands = [newCommand('a'), newCommand('a'), newCommand('b')];
    for (const command of commands) await queue.enqueue(command);
    await queue.finish(await lease(), done);
    await pruneIdempotency(database, 24);
    expect(await queue.list({ limit: 10 })).to.have.length(3);
    await database.statements.query("update commands set finished_at = finished_at - interval '25 hours'");
    await pruneIdempotency(database, 24);
    expect((await queue.list({ limit: 10 })).map(({ status }) => status)).to.deep.equal(['accepted', 'accepted']);
  });

  it('finds what is due among many that ended or wait behind others', async () => {
    await database.statements.query(`insert into commands (command_id, stream, command, principal, status, finished_at)
      select 'old-' || n, 's-' || n % 100, '{}', 'p', 'succeeded', now() from generate_series(1, 100000) n`);
    await database.statements.query("insert into commands (command_id, stream, command, principal, status) select 'behind-' || n, 's', '{}', 'p', 'accepted' from generate_series(1, 50000) n");
    const roomy = new PostgresCommandQueue(database, 1_000_000);
    const began = performance.now();
    for (let n = 0; n < 20; n++) {
      await roomy.enqueue(newCommand('t'));
      const held = await lease();
      await roomy.finish(held, done);
    }
    // Enqueueing counts what waits: some milliseconds for 50,000.
    expect(performance.now() - began).to.be.lessThan(4_000);
  });
});
