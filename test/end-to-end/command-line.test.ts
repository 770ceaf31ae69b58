import { copyFile, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { expect } from 'chai';
import { packageRoot } from '../../src/infrastructure/process/package-root.js';
import { type Environment, finished, ownService, run, serve, start } from '../support/cli.js';
import { freshDatabase } from '../support/postgres.js';
import { eventually } from '../support/service.js';

const sample = join(packageRoot, 'samples/orders.ndjson');

describe('the command line', function () {
  this.timeout(120_000);
  const own = ownService();

  it('reads, traces and examines what was stored', async () => {
    const fresh = await freshDatabase();
    own.environment.DATABASE_URL = fresh.url;
    try {
      own.running = await serve(own.environment);
      const book = join(own.directory, 'orders.ndjson');
      await copyFile(sample, book);
      await run(['import', book], own.environment);
      const { out } = await run(['events', 'read', '--stream', 'order-A-2000'], own.environment);
      expect(out.trim().split('\n')).to.have.length(2);
      expect(out).to.match(/order-A-2000 v1 +OrderPlaced/).and.match(/OrderRejected.*credit\.limit-exceeded/);
      const [line] = (await run(['events', 'read', '--type', 'OrderRejected', '--limit', '1', '--json'], own.environment)).out.trim().split('\n');
      const { metadata } = JSON.parse(line!) as { metadata: { correlationId: string } };
      const trace = (await run(['events', 'trace', metadata.correlationId], own.environment)).out.split('\n');
      expect(trace.slice(0, 3).map((text) => text.replace(/(\w) {2}\w.*/, '$1'))).to.deep.equal(['OrderPlaced', '  CreditRefused', '    OrderRejected']);
      const doctor = await run(['doctor'], { ...own.environment, CURSOR_SECRET: 'x'.repeat(40) });
      expect([doctor.code, doctor.out.includes('x'.repeat(40))], doctor.out).to.deep.equal([0, false]);
      expect(doctor.out).to.match(/ok +log of orders: \d+ events, the last \d+ without a hole/);
      expect((await run(['migrate'], own.environment)).out).to.include('up to date');
      const tail = start(['events', 'tail', '--after', '1', '--json'], own.environment);
      const tailed = finished(tail);
      await new Promise((resolve) => tail.stdout?.once('data', resolve));
      tail.kill('SIGINT');
      expect((await tailed).out.split('\n')[0]).to.include('"position":2');
      await own.running.stop();
      const unasked = await run(['log', 'new-epoch', '--context', 'orders'], own.environment);
      expect([unasked.code, unasked.err.trim()]).to.deep.equal([1, 'orderfold: This needs an answer: repeat it with --yes.']);
      const renamed = await run(['log', 'new-epoch', '--context', 'orders', '--yes'], own.environment);
      expect([renamed.code, renamed.out.trim()], renamed.err).to.satisfy(([code, out]: [number, string]) => code === 0 && /^The log of orders has a new epoch from position \d+ on\. Start the service again\.$/.test(out));
      own.running = await serve(own.environment);
      const found = async () => (await (await fetch(`${own.running!.url}/orders?limit=1`)).json() as { total: number }).total;
      await eventually('the views are folded anew', async () => await found() > 0, 30_000);
    } finally {
      await own.running?.stop();
      own.running = undefined;
      await fresh.drop();
    }
  });

  describe('says in one line what is wrong', () => {
    const oneLine = async (args: string[], wrong: Environment, expected: RegExp) => {
      const { code, out, err } = await run(args, { ...own.environment, ...wrong });
      expect(code).to.equal(1);
      expect(out).to.equal('');
      expect(err.trim().split('\n'), err).to.have.length(1);
      expect(err).to.match(expected);
    };
    it('when its port is taken', async () => {
      const server = createServer();
      await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
      const { port } = server.address() as AddressInfo;
      await oneLine(['serve', '--port', String(port)], { PROFILE: 'memory' }, new RegExp(`Port ${port} on 127.0.0.1 is taken`));
      await new Promise((resolve) => server.close(resolve));
    });
    it('when its data directory cannot be written', async () => {
      await writeFile(join(own.directory, 'file'), '');
      await oneLine(['serve'], { DATA_DIR: join(own.directory, 'file/data') }, /data directory .* cannot be written/);
      await oneLine(['serve'], { DATA_DIR: '/proc/nothing' }, /data directory .* cannot be written/);
    });
    it('when its database cannot be reached', () => oneLine(['serve'], { DATABASE_URL: 'postgres://nobody:secret@127.0.0.1:1/none' }, /database at 127\.0\.0\.1:1\/none cannot be reached/));
    it('when its configuration is wrong', async () => {
      await oneLine(['serve'], { PORT: 'many', PROFILE: 'imaginary' }, /PORT must be a number; .*PROFILE must be one of|PROFILE must be one of .*; PORT must be a number/);
      await oneLine(['serve'], { HOST: '0.0.0.0', AUTH: 'off' }, /AUTH=off is refused on 0\.0\.0\.0/);
      await oneLine(['serve'], { HOST: '0.0.0.0' }, /AUTH=jwt needs JWT_JWKS/);
      await oneLine(['serve'], { AUTH: 'jwt', JWT_JWKS: join(own.directory, 'none.json'), JWT_ISSUER: 'x', JWT_AUDIENCE: 'y', PROFILE: 'memory' }, /JWT_JWKS: .* cannot|JWT_JWKS: .* is not/);
    });
    it('when there is nothing to import, or nowhere', async () => {
      await oneLine(['import', join(own.directory, 'nothing.ndjson')], {}, /nothing\.ndjson cannot be read/);
      await oneLine(['import', sample], { PROFILE: 'memory' }, /PROFILE=memory keeps its data inside/);
    });
  });
});
