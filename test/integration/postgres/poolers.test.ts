import { rm } from 'node:fs/promises';
import { expect } from 'chai';
import { compose } from '../../../src/infrastructure/composition/compose.js';
import { readConfig } from '../../../src/infrastructure/process/config.js';
import { OperatorError } from '../../../src/infrastructure/process/operator-error.js';
import { quiet } from '../../support/events.js';
import { notRun } from '../../support/not-run.js';
import { pgbouncer, startPgBouncer, type Pooler } from '../../support/pgbouncer.js';
import { freshDatabase, temporaryDirectory, type TestDatabase } from '../../support/postgres.js';

const suite = 'a service behind PgBouncer';
if (pgbouncer === undefined) notRun(suite, 'PgBouncer is not installed');
else describe(suite, function () {
  this.timeout(60_000);
  let directory: string;
  let fresh: TestDatabase;
  let pooler: Pooler | undefined;
  beforeEach(async () => {
    directory = await temporaryDirectory();
    fresh = await freshDatabase({ migrated: false });
  });
  afterEach(async () => {
    await pooler?.close();
    await fresh.drop();
    await rm(directory, { recursive: true, force: true });
  });
  const open = async (poolMode: Parameters<typeof startPgBouncer>[2]) => {
    pooler = await startPgBouncer(pgbouncer!, fresh.url, poolMode);
    return compose(readConfig({ DATA_DIR: directory, DATABASE_URL: pooler.url, CURSOR_SECRET: 'for this test and for nothing else' }), { logger: quiet });
  };

  it('works where it pools by session', async () => {
    const service = await open('session');
    const stop = new AbortController();
    const running = service.run(['projector', 'policies', 'worker'], stop.signal);
    try {
      const placed = await service.customers!.commands({ type: 'RegisterCustomer', customerId: 'ada', name: 'Ada', currency: 'EUR', creditLimitMinor: null },
        { principal: 'test', correlationId: 'c', causationId: null, at: new Date() });
      expect(JSON.parse(placed.body)).to.include({ version: 1 });
      for (const deadline = performance.now() + 20_000; !(await service.views.customers!.read(['ada'])).has('ada');) {
        expect(performance.now(), 'the customer is in the view within 20 s').to.be.below(deadline);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    } finally {
      stop.abort();
      await running;
      await service.close();
    }
  });

  for (const poolMode of ['transaction', 'statement'] as const) {
    it(`is refused in one line where it pools by ${poolMode}`, async () => {
      const refusal = await open(poolMode).then((service) => service.close(), (error: unknown) => error);
      expect(refusal).to.be.instanceOf(OperatorError).with.property('message').that.matches(/^The pooler at 127\.0\.0\.1:\d+\/\S+ pools by transaction: [^\n]*pool_mode = session[^\n]*$/);
    });
  }
});
