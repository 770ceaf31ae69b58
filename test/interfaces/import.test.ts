import { existsSync } from 'node:fs';
import { open, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { compose, type Service } from '../../src/infrastructure/composition/compose.js';
import { readConfig } from '../../src/infrastructure/process/config.js';
import { OperatorError } from '../../src/infrastructure/process/operator-error.js';
import { importLines } from '../../src/interfaces/cli/import/import-lines.js';
import { temporaryDirectory } from '../support/postgres.js';

const at = '2026-01-01T00:00:00Z';
const lines = [
  { id: '1', at, type: 'RegisterCustomer', customerId: 'ada', name: 'Ada', currency: 'EUR' },
  { id: '2', at, type: 'Nonsense' },
  { id: '3', at, type: 'SuspendCustomer', customerId: 'nobody', reason: 'x' },
  { id: '4', at, type: 'SuspendCustomer', customerId: 'ada', reason: 'x' },
];

describe('an import whose refusals cannot be written', function () {
  this.timeout(30_000);
  let directory: string;
  let service: Service;
  beforeEach(async () => {
    directory = await temporaryDirectory();
    service = await compose(readConfig({ PROFILE: 'memory', LOG_LEVEL: 'silent' }));
    await writeFile(join(directory, 'lines.ndjson'), lines.map((line) => JSON.stringify(line)).join('\n'));
  });
  afterEach(async () => {
    await service.close();
    await rm(directory, { recursive: true });
  });

  async function importInto(rejectedFile: string) {
    const { customers, orders, stores, settled, run } = service;
    const input = await open(join(directory, 'lines.ndjson'));
    try {
      return await importLines({ customerCommands: customers!.commands, orderCommands: orders!.commands, customersLog: stores.customers!, config: service.config, settled, run }, input, {
        inFlight: 8, policyTimeoutMs: 5_000, rejectedFile, stop: new AbortController().signal, onProgress: () => undefined, outageMs: 10_000, onWaiting: () => undefined,
      });
    } finally {
      await input.close();
    }
  }

  const [full, hasFull] = ['/dev/full', existsSync('/dev/full')];
  for (const [why, file] of [['its directory is not there', 'nowhere/rejected.ndjson'], hasFull ? ['the disk is full', full] : ['it is a directory', '.']] as const) {
    it(`because ${why} says so in one line, and loses nothing: another run ends it`, async () => {
      const failure = await importInto(file === full ? full : join(directory, file)).then(() => undefined, (error: unknown) => error);
      expect(failure).to.be.instanceOf(OperatorError);
      expect((failure as Error).message).to.match(/^\S+ cannot be written \(\w+: .*\)\. .*$/).and.not.include('\n');

      const rejected = join(directory, 'rejected.ndjson');
      expect(await importInto(rejected)).to.include({ lines: 4, rejected: 2 });
      expect((await readFile(rejected, 'utf8')).trim().split('\n').map((line) => (JSON.parse(line) as { line: number }).line).sort()).to.deep.equal([2, 3]);
      expect((await service.stores.customers!.readStream('customer-ada')).map(({ data }) => data.type)).to.deep.equal(['CustomerRegistered', 'CustomerSuspended']);
    });
  }
});
