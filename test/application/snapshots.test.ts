import { expect } from 'chai';
import fc from 'fast-check';
import { customers } from '../../src/application/customers/customer-commands.js';
import { createExecute } from '../../src/application/commands/execute.js';
import type { SnapshotStore } from '../../src/application/ports/snapshot-store.js';
import { createStreamStates, snapshotIsDue } from '../../src/application/commands/stream-states.js';
import { customer, type Customer, type CustomerCommand } from '../../src/domain/customers/customer.js';
import { uuidIds } from '../../src/infrastructure/process/uuid-ids.js';
import { customerCommands, customerStream } from '../support/arbitraries.js';
import { partitions, quiet } from '../support/events.js';
import { memoryApplication, request } from '../support/memory-application.js';

const customerId = 'ada';
const register: CustomerCommand = { type: 'RegisterCustomer', customerId, name: 'Ada', currency: 'EUR', creditLimitMinor: null };
const reserve = (n: number): CustomerCommand => ({ type: 'ReserveCredit', customerId, orderId: `o-${n}`, amountMinor: n });

describe('snapshots', () => {
  it('hold a customer as JSON, and give back the same one', () => {
    fc.assert(fc.property(fc.array(customerCommands(), { maxLength: 30 }), (commands) => {
      const state = customerStream('c-1', commands).events.reduce<Customer>((folded, event) => customer.evolve(folded, event as never), customer.initial);
      expect(customers.snapshot.read(JSON.parse(JSON.stringify(customers.snapshot.write(state))))).to.deep.equal(state);
    }));
  });

  it('keep the shape that versions of the software before this one read and write', () => {
    const state = [register, reserve(7)].flatMap((command) => command).reduce<Customer>(
      (folded, command) => customer.decide(command, folded, new Date(0)).reduce((before, event) => customer.evolve(before, event), folded), customer.initial);
    const kept = { status: 'active', customerId, name: 'Ada', currency: 'EUR', creditLimitMinor: null, reserved: { 'o-7': 7 } };
    expect(customers.snapshot.write(state)).to.deep.equal(kept);
    expect(customers.snapshot.read(kept)).to.deep.equal(state);
  });

  it('are read again by a process that has not seen the stream, with what came after them', async () => {
    const app = memoryApplication();
    const saved: number[] = [];
    const snapshots: SnapshotStore = { load: (stream) => app.snapshots.customers.load(stream), save: (snapshot) => { saved.push(snapshot.version); return app.snapshots.customers.save(snapshot); } };
    const execute = createExecute({ stores: app.stores, snapshots: { customers: snapshots }, ids: uuidIds, logger: quiet, partitions });
    await execute(customers, customerId, register, request());
    for (let n = 1; n <= 450; n++) await execute(customers, customerId, reserve(n), request());
    expect(saved).to.deep.equal([200, 400]);
    const read: number[] = [];
    const store = Object.assign(Object.create(app.stores.customers) as typeof app.stores.customers, {
      readStream: (stream: string, range?: { after?: number }) => { read.push(range?.after ?? 0); return app.stores.customers.readStream(stream, range); },
    });
    const { state, version } = await createStreamStates({ snapshots: app.snapshots, logger: quiet }).load(customers, store, `customer-${customerId}`);
    expect([version, customers.snapshot.entries(state), read]).to.deep.equal([451, 450, [400]]);
  });

  it('cost each event the same, however much a stream holds, and are never far behind', () => {
    let [entries, last, furthest] = [0, 0, 0];
    for (let version = 1; version <= 200_000; version++) {
      if (snapshotIsDue(version - 1, version, version)) {
        entries += version;
        last = version;
      }
      furthest = Math.max(furthest, (version - last) / Math.max(200, version / 4));
    }
    expect(furthest).to.be.at.most(1);
    expect(entries / 200_000).to.be.at.most(10);
  });
});
