import { expect } from 'chai';
import type { CommandRecord } from '../../src/application/ports/command-queue.js';
import { openDatabase } from '../../src/infrastructure/postgres/database.js';
import { PostgresCommandQueue } from '../../src/infrastructure/postgres/postgres-command-queue.js';
import { done, newCommand } from '../contracts/command-queue.contract.js';
import { run } from '../support/cli.js';
import { freshDatabase } from '../support/postgres.js';

describe('orderfold commands', function () {
  this.timeout(60_000);

  it('lists, shows and cancels what was accepted for later', async () => {
    const fresh = await freshDatabase();
    const database = openDatabase(fresh.url, 'orders');
    try {
      const queue = new PostgresCommandQueue(database, 10);
      const [first, second] = [newCommand('s'), newCommand('s')];
      await queue.enqueue(first);
      await queue.enqueue(second);
      const [lease] = await queue.lease({ limit: 1, leaseMs: 5_000, waitMs: 0 }, new AbortController().signal);
      await queue.finish(lease!, done);

      const cli = (...args: string[]) => run(['commands', ...args], { DATABASE_URL: fresh.url, LOG_LEVEL: 'fatal' });
      const [all, waiting, shown, unknown] = await Promise.all([cli('list', '--json'), cli('list', '--status', 'accepted'), cli('show', first.commandId, '--json'), cli('show', 'nobody')]);
      expect((JSON.parse(all.out) as CommandRecord[]).map(({ commandId, status }) => [commandId, status])).to.deep.equal([[second.commandId, 'accepted'], [first.commandId, 'succeeded']]);
      expect(waiting.out).to.include(second.commandId).and.not.include(first.commandId);
      expect(JSON.parse(shown.out)).to.deep.include({ ...first, status: 'succeeded', end: done });
      expect([unknown.code, unknown.err]).to.deep.equal([1, 'orderfold: There is no command nobody: what ended is kept for IDEMPOTENCY_RETENTION_HOURS.\n']);

      const [cancelled, late] = await Promise.all([cli('cancel', second.commandId), cli('cancel', first.commandId)]);
      expect([cancelled.code, (await queue.find(second.commandId))?.status]).to.deep.equal([0, 'cancelled']);
      expect([late.code, late.err]).to.deep.equal([1, `orderfold: The command ${first.commandId} cannot be cancelled any more: it is succeeded.\n`]);
    } finally {
      await database.close();
      await fresh.drop();
    }
  });
});
