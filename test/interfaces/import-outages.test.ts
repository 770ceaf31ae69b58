import { existsSync } from 'node:fs';
import { open, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import type { OrderCommands } from '../../src/application/orders/order-commands.js';
import { Rejection } from '../../src/domain/shared/rejection.js';
import { importLines } from '../../src/interfaces/cli/import/import-lines.js';
import { temporaryDirectory } from '../support/postgres.js';
import { startService, type TestService } from '../support/service.js';

const at = '2026-01-01T00:00:00.000Z';
const lines = [{ sku: 'a', name: 'A', quantity: 1, unitPriceMinor: 90 }];
const register = { id: '1', at, type: 'RegisterCustomer', customerId: 'ada', name: 'Ada', currency: 'EUR', creditLimitMinor: null };
const place = { id: '2', at, type: 'PlaceOrder', orderId: 'o', customerId: 'ada', currency: 'EUR', lines };
const pay = { id: '3', at, type: 'PayOrder', orderId: 'o', paymentReference: 'p' };
const close = { id: '4', at, type: 'CloseCustomer', customerId: 'ada', reason: 'moved' };

describe('an import during an outage', function () {
  this.timeout(30_000);
  let service: TestService;
  let directory: string;
  let file: string;
  beforeEach(async () => {
    service = await startService();
    directory = await temporaryDirectory();
    file = join(directory, 'lines.ndjson');
  });
  afterEach(async () => {
    await service.end();
    await rm(directory, { recursive: true, force: true });
  });

  const waits: string[] = [];
  async function run(given: readonly object[], orderCommands: OrderCommands = service.orders!.commands, outageMs = 10_000) {
    waits.length = 0;
    await writeFile(file, given.map((line) => `${JSON.stringify(line)}\n`).join(''));
    const input = await open(file);
    try {
      const { customers, stores, config, settled, run: work } = service;
      return await importLines({ customerCommands: customers!.commands, orderCommands, customersLog: stores.customers!, config, settled, run: work }, input, {
        inFlight: 8, policyTimeoutMs: 10_000, rejectedFile: `${file}.rejected.ndjson`, stop: new AbortController().signal, onProgress: () => undefined, outageMs, onWaiting: (code) => { waits.push(code); },
      });
    } finally {
      await input.close();
    }
  }
  const types = async () => (await service.stores.orders!.readStream('order-o')).map(({ data }) => data.type);

  for (const code of ['log.unavailable', 'view.unavailable', 'view.behind', 'stream.conflict', 'idempotency.in-progress'] as const) {
    it(`waits while it is told ${code}, and says so: no line is refused for that`, async () => {
      let vain = 0;
      const summary = await run([register, place, pay, close], (...call) => (vain++ < 3 ? Promise.reject(new Rejection(code)) : service.orders!.commands(...call)));
      expect(summary).to.include({ lines: 4, applied: 4, rejected: 0 });
      expect(waits).to.deep.equal([code, code, code]);
      expect(await types()).to.deep.equal(['OrderPlaced', 'OrderApproved', 'OrderPaid']);
    });
  }

  it('stops when it lasts, with nothing refused, and a second run does the rest', async () => {
    const error = await run([register, place, pay, close], () => Promise.reject(new Rejection('view.unavailable')), 100).catch((failure: unknown) => failure);
    expect(error).to.have.property('name', 'OperatorError');
    expect(error).to.have.property('message').that.includes('view.unavailable').and.includes('Run it again');
    expect(existsSync(`${file}.rejected.ndjson`)).to.equal(false);
    expect(await run([register, place, pay, close])).to.include({ applied: 3, replayed: 1, rejected: 0 });
    expect(await types()).to.deep.equal(['OrderPlaced', 'OrderApproved', 'OrderPaid']);
  });

  it('waits for the copy of a customer who was registered by somebody else', async () => {
    await run([register]);
    const summary = await run([place, { ...place, id: '5', customerId: 'nobody', orderId: 'p' }], (command, request, seen) =>
      (seen === undefined ? Promise.reject(new Rejection('customer.unknown')) : service.orders!.commands(command, request, seen)));
    expect(summary).to.include({ applied: 1, rejected: 1 });
  });
});
