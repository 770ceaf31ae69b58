import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import pg from 'pg';
import sinon from 'sinon';
import { applicationName } from '../../src/infrastructure/postgres/connection/database.js';
import { openEmbeddedPostgres } from '../../src/infrastructure/postgres/embedded/embedded-postgres.js';
import { keepRunning } from '../../src/infrastructure/postgres/embedded/keep-running.js';
import { serve, type Running } from '../support/cli.js';
import { quiet } from '../support/events.js';
import { temporaryDirectory } from '../support/postgres.js';
import { ask, eventually } from '../support/service.js';

describe('the embedded PostgreSQL, killed', function () {
  this.timeout(180_000);
  let directory: string;
  beforeEach(async () => { directory = await temporaryDirectory(); });
  afterEach(async () => {
    sinon.restore();
    await rm(directory, { recursive: true, force: true });
  });
  const postmaster = async () => Number((await readFile(join(directory, 'postgres/postmaster.pid'), 'utf8')).split('\n')[0]);
  const kill = async () => {
    const pid = await postmaster();
    process.kill(pid, 'SIGKILL');
    return pid;
  };
  const ended = () => readFile(join(directory, 'postgres/postmaster.pid')).then(() => false, () => true);

  it('is started again by the service that started it, which goes on and has lost nothing; and stays away when that stops', async () => {
    let running: Running | undefined = await serve({ DATA_DIR: directory, LOG_LEVEL: 'fatal' });
    try {
      const { url } = running;
      const setLimit = (creditLimitMinor: number) => ask(url, 'PUT', '/customers/ada/credit-limit', { creditLimitMinor });
      expect((await ask(url, 'POST', '/customers', { customerId: 'ada', name: 'Ada', currency: 'EUR' })).status).to.equal(201);
      const acknowledged: number[] = [];
      let limit = 0;
      const killed = await kill();
      await eventually('commands are done again', async () => {
        const { status } = await setLimit(++limit);
        if (status === 200) acknowledged.push(limit);
        else expect(status).to.equal(503);
        // The killed one's own children may still have answered.
        return status === 200 && await postmaster().catch(() => killed) !== killed;
      }, 60_000, 50);
      for (let n = 0; n < 10; n++) if ((await setLimit(++limit)).status === 200) acknowledged.push(limit);
      await eventually('it is ready', async () => (await ask(url, 'GET', '/health/ready')).body.status === 'ready', 30_000, 100);
      const { body: { items } } = await ask(url, 'GET', '/customers/ada/events?limit=200');
      const stored = (items as { data: { creditLimitMinor?: number | null } }[]).map(({ data }) => data.creditLimitMinor);
      expect(stored).to.include.members(acknowledged);
      expect(await running.stop()).to.equal(0);
      running = undefined;
      expect(await ended()).to.equal(true);
    } finally {
      await running?.stop();
    }
  });

  it('is left to the process that started it by one that only uses it', async () => {
    const starter = await openEmbeddedPostgres(directory);
    const client = new pg.Client({ connectionString: starter.url, application_name: applicationName });
    client.on('error', () => undefined);
    const watches: { end(): Promise<void> }[] = [];
    try {
      await client.connect();
      const user = await openEmbeddedPostgres(directory);
      const watch = user.watch(quiet);
      watches.push(watch);
      await kill();
      await sleep(1_000);
      expect(await answers(user.url)).to.equal(false);
      watches.push(starter.watch(quiet));
      await eventually('it is started by the one who did so before', () => answers(user.url), 60_000, 100);
    } finally {
      for (const watch of watches) await watch.end();
      await client.end().catch(() => undefined);
      await starter.close();
    }
    expect(await ended()).to.equal(true);
  });

  const answers = async (url: string) => {
    const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2_000 });
    client.on('error', () => undefined);
    return client.connect().then(async () => { await client.end(); return true; }, () => false);
  };

  it('is started less and less often when that fails, each time loudly, and not after the watch has ended', async () => {
    const stop = new AbortController();
    const attempts: number[] = [];
    const error = sinon.spy();
    let up = false;
    const watching = keepRunning({
      isRunning: async () => up,
      async start() {
        attempts.push(performance.now());
        if (attempts.length < 5) throw new Error('no space');
        up = true;
      },
      logger: { ...quiet, error },
    }, stop.signal, { lookMs: 5, shortestMs: 40, longestMs: 160 });
    await eventually('it was started', async () => up);
    const pauses = attempts.slice(1).map((at, index) => at - attempts[index]!);
    [40, 80, 160, 160].forEach((ms, index) => { expect(pauses[index]).to.be.at.least(ms - 2); });
    expect(error.callCount).to.equal(5 + 4);
    stop.abort();
    up = false;
    await watching;
    expect(attempts).to.have.length(5);
  });
});
