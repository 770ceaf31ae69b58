import { expect } from 'chai';
import sinon from 'sinon';
import type { CustomerCommand } from '../../src/domain/customers/customer.js';
import { Rejection } from '../../src/domain/shared/rejection.js';
import { memoryApplication, request } from '../support/memory-application.js';

const register: CustomerCommand = { type: 'RegisterCustomer', customerId: 'ada', name: 'Ada', currency: 'EUR', creditLimitMinor: null };
const suspend: CustomerCommand = { type: 'SuspendCustomer', customerId: 'ada', reason: 'late' };
const reactivate: CustomerCommand = { type: 'ReactivateCustomer', customerId: 'ada' };
const key = (name: string, digest = 'd') => ({ idempotency: { key: name, digest } });

async function refusal(work: Promise<unknown>): Promise<string> {
  return work.then(() => 'nothing', (error: unknown) => {
    if (error instanceof Rejection) return error.code;
    throw error;
  });
}

describe('a command', () => {
  let app: ReturnType<typeof memoryApplication>;
  beforeEach(() => { app = memoryApplication(); });
  afterEach(() => { sinon.restore(); });

  it('becomes events, and says what it led to', async () => {
    const { body, ...rest } = await app.customers(register, request());
    expect(JSON.parse(body)).to.deep.equal({ id: 'ada', version: 1, position: 1, events: ['CustomerRegistered'] });
    expect(rest).to.deep.equal({ id: 'ada', context: 'customers', version: 1, position: 1, partition: 2, replayed: false });
  });

  it('leaves who, why and when with its events', async () => {
    await app.customers(register, request({ correlationId: 'c', causationId: 'because', traceparent: 't', principal: 'bob' }));
    const [event] = await app.stores.customers.readStream('customer-ada');
    expect(event?.metadata).to.include({ correlationId: 'c', causationId: 'because', traceparent: 't', principal: 'bob' });
    expect(event?.data.at).to.equal('2026-02-03T04:05:06.000Z');
  });

  it('never goes back in a stream\'s time', async () => {
    await app.customers(register, request({ at: new Date('2026-05-01T00:00:00.000Z') }));
    await app.customers(suspend, request({ at: new Date('2026-01-01T00:00:00.000Z') }));
    await app.process().customers(reactivate, request({ at: new Date('2026-02-01T00:00:00.000Z') }));
    expect((await app.stores.customers.readStream('customer-ada')).map(({ data }) => data.at)).to.deep.equal(Array.from({ length: 3 }, () => '2026-05-01T00:00:00.000Z'));
  });

  describe('under an idempotency key', () => {
    it('is answered with the same bytes and not done again', async () => {
      const first = await app.customers(register, request(key('k')));
      for (const process of [app, app.process()]) {
        const again = await process.customers(register, request(key('k')));
        expect(again).to.deep.equal({ ...first, replayed: true });
      }
      expect(await app.stores.customers.readStream('customer-ada')).to.have.length(1);
    });
    it('is refused when it is another request', async () => {
      await app.customers(register, request(key('k')));
      expect(await refusal(app.customers(register, request(key('k', 'other'))))).to.equal('idempotency.key-reused');
    });
    it('is somebody else\'s under another principal', async () => {
      await app.customers(register, request(key('k')));
      expect(await refusal(app.customers(register, request({ ...key('k'), principal: 'bob' })))).to.equal('customer.exists');
    });
    it('is refused while the first one runs', async () => {
      const first = app.customers(register, request(key('k')));
      expect(await refusal(app.customers(register, request(key('k'))))).to.equal('idempotency.in-progress');
      await first;
      expect((await app.customers(register, request(key('k')))).replayed).to.equal(true);
    });
    it('remembers that it changed nothing', async () => {
      await app.customers(register, request());
      await app.customers(suspend, request());
      const quiet = await app.customers(suspend, request(key('k')));
      expect(JSON.parse(quiet.body)).to.deep.equal({ id: 'ada', version: 2, position: 2, events: [] });
      await app.customers(reactivate, request());
      const again = await app.customers(suspend, request(key('k')));
      expect(again).to.deep.equal({ ...quiet, replayed: true });
      expect(await app.stores.customers.readStream('customer-ada')).to.have.length(3);
    });
    it('keeps nothing of a refusal: tried again, it is judged anew', async () => {
      expect(await refusal(app.customers(suspend, request(key('k'))))).to.equal('customer.unknown');
      await app.customers(register, request());
      expect((await app.customers(suspend, request(key('k')))).replayed).to.equal(false);
    });
  });

  describe('on a cached state that is old', () => {
    let other: ReturnType<typeof app.process>;
    beforeEach(async () => {
      other = app.process();
      await app.customers(register, request());
      await app.customers(suspend, request());
      await other.customers(reactivate, request());
    });
    it('is never said to be so already', async () => {
      expect(JSON.parse((await app.customers(suspend, request())).body)).to.include({ version: 4 });
    });
    it('is never refused wrongly', async () => {
      await other.customers({ type: 'CloseCustomer', customerId: 'ada', reason: 'x' }, request());
      expect(await refusal(app.customers(suspend, request()))).to.equal('customer.closed');
      expect(await refusal(app.customers(suspend, request({ expectedVersion: 3 })))).to.equal('stream.version-differs');
    });
    it('is tried again after a conflict', async () => {
      const outcome = await app.customers({ type: 'SetCreditLimit', customerId: 'ada', creditLimitMinor: 5 }, request());
      expect(outcome.version).to.equal(4);
    });
  });

  it('gives up after many conflicts', async () => {
    sinon.stub(app.stores.customers, 'append').resolves({ status: 'conflict' });
    expect(await refusal(app.customers(register, request()))).to.equal('stream.conflict');
  });

  it('is done at the expected version, and refused at another', async () => {
    await app.customers(register, request({ expectedVersion: 0 }));
    expect(await refusal(app.customers(suspend, request({ expectedVersion: 2 })))).to.equal('stream.version-differs');
    expect((await app.customers(suspend, request({ expectedVersion: 1 }))).version).to.equal(2);
    expect(await refusal(app.customers(register, request({ expectedVersion: 0 })))).to.equal('stream.version-differs');
  });

  it('queues up behind the others of its stream', async () => {
    await app.customers(register, request());
    const limits = Array.from({ length: 30 }, (_, n) => n + 1);
    await Promise.all(limits.map((creditLimitMinor) => app.customers({ type: 'SetCreditLimit', customerId: 'ada', creditLimitMinor }, request())));
    const events = await app.stores.customers.readStream('customer-ada', { after: 1 });
    expect(events.map(({ data }) => (data.type === 'CreditLimitSet' ? data.creditLimitMinor : null))).to.deep.equal(limits);
  });

  it('passes on an outage, and does not trust its cache afterwards', async () => {
    await app.customers(register, request());
    const append = sinon.stub(app.stores.customers, 'append').rejects(new Rejection('log.unavailable'));
    expect(await refusal(app.customers(suspend, request()))).to.equal('log.unavailable');
    append.restore();
    const read = sinon.spy(app.stores.customers, 'readStream');
    await app.customers(suspend, request());
    expect(read.called).to.equal(true);
  });

  it('does not hide a bug', async () => {
    const error = await app.customers({ type: 'Nonsense', customerId: 'ada' } as never, request({ at: new Date(Number.NaN) })).catch((reason: unknown) => reason);
    expect(error).to.be.instanceOf(RangeError);
  });

  describe('on a state that the log has lost', () => {
    const at = (day: number) => ({ at: new Date(Date.UTC(2026, 2, day)) });
    let lost: ReturnType<typeof memoryApplication>;
    // The same first event in both logs; then each its own.
    beforeEach(async () => {
      lost = memoryApplication();
      await app.customers(register, request(at(1)));
      const [first] = await app.stores.customers.readStream('customer-ada');
      await lost.stores.customers.append({ stream: 'customer-ada', expectedVersion: 0, events: [{ data: first!.data, metadata: first!.metadata }] });
    });
    const failOver = (interruptions = 0) => { app.stores.customers = Object.assign(lost.stores.customers, { interruptions }); };

    it('is judged on the log, not refused with a conflict', async () => {
      await app.customers(suspend, request(at(2)));
      await app.customers({ type: 'SetCreditLimit', customerId: 'ada', creditLimitMinor: 5 }, request(at(2)));
      failOver();
      expect((await app.customers({ type: 'SetCreditLimit', customerId: 'ada', creditLimitMinor: 6 }, request(at(3)))).version).to.equal(2);
      expect((await app.customers(suspend, request(at(3)))).version).to.equal(3);
    });
    it('is not refused because of what never was', async () => {
      await app.customers({ type: 'CloseCustomer', customerId: 'ada', reason: 'x' }, request(at(2)));
      failOver();
      expect((await app.customers(suspend, request(at(3)))).version).to.equal(2);
    });
    it('is not said to be so already, with another history as long', async () => {
      await app.customers(suspend, request(at(2)));
      await lost.customers({ type: 'SetCreditLimit', customerId: 'ada', creditLimitMinor: 5 }, request(at(2)));
      failOver();
      expect((await app.customers(suspend, request(at(3)))).version).to.equal(3);
    });
    it('is not built upon after an interruption, with another history as long', async () => {
      await app.customers({ type: 'SetCreditLimit', customerId: 'ada', creditLimitMinor: 5 }, request(at(2)));
      await lost.customers({ type: 'CloseCustomer', customerId: 'ada', reason: 'x' }, request(at(2)));
      failOver(1);
      expect(await refusal(app.customers({ type: 'SetCreditLimit', customerId: 'ada', creditLimitMinor: 6 }, request(at(3))))).to.equal('customer.closed');
    });
  });

  describe('while the log is silent', () => {
    const limit = (creditLimitMinor: number) => app.customers({ type: 'SetCreditLimit', customerId: 'ada', creditLimitMinor }, request({ patienceMs: 100 }));
    beforeEach(() => app.customers(register, request()));

    for (const [what, method] of [['an append', 'append'], ['a read', 'readStream']] as const) {
      it(`is refused in time, however many wait behind ${what}, and none of them is done later`, async () => {
        if (method === 'readStream') app = Object.assign(app, app.process());
        let answer: () => void = () => undefined;
        const silence = new Promise<void>((resolve) => { answer = resolve; });
        const real = app.stores.customers[method].bind(app.stores.customers) as (...args: unknown[]) => Promise<never>;
        // As the adapters do, the append tells in time that its outcome is not known.
        const silent = sinon.stub(app.stores.customers, method).callsFake((async (...args: unknown[]) => {
          if (method === 'append') {
            await new Promise((resolve) => setTimeout(resolve, 150));
            throw new Rejection('log.unavailable', { outcome: 'unknown' });
          }
          await silence;
          return real(...args);
        }));
        const began = performance.now();
        const outcomes = await Promise.all(Array.from({ length: 100 }, (_, n) => limit(n).then(() => 'done', (error: Rejection) => String(error.details.outcome))));
        expect(performance.now() - began).to.be.below(2_000);
        expect(outcomes.slice(1)).to.deep.equal(Array.from({ length: 99 }, () => 'not-stored'));
        expect(outcomes[0]).to.equal(method === 'append' ? 'unknown' : 'not-stored');
        silent.restore();
        answer();
        expect((await limit(500)).version).to.equal(2);
        expect(silent.callCount).to.equal(1);
      });
    }
    it('may be asked for again under its key as soon as it was refused', async () => {
      app = Object.assign(app, app.process());
      const silent = sinon.stub(app.stores.customers, 'readStream').returns(new Promise(() => undefined));
      const again = () => app.customers(suspend, request({ ...key('k'), patienceMs: 50 }));
      expect(await refusal(again())).to.equal('log.unavailable');
      expect(await refusal(again())).to.equal('log.unavailable');
      silent.restore();
    });
  });

  describe('with an e-mail address', () => {
    const withEmail = (customerId: string, email: string): CustomerCommand => ({ ...register, customerId, email });
    it('is refused while another customer has it, whatever its case', async () => {
      await app.customers(withEmail('ada', 'ada@example.com'), request());
      expect(await refusal(app.customers(withEmail('bob', 'ADA@Example.com'), request()))).to.equal('customer.email-taken');
    });
    it('may have it when the other one changed it, cleared it or was closed', async () => {
      await app.customers(withEmail('ada', 'a@example.com'), request());
      await app.customers({ type: 'ChangeCustomerDetails', customerId: 'ada', email: 'b@example.com' }, request());
      await app.customers(withEmail('bob', 'a@example.com'), request());
      expect(await refusal(app.customers({ type: 'ChangeCustomerDetails', customerId: 'bob', email: 'b@example.com' }, request()))).to.equal('customer.email-taken');
      await app.customers({ type: 'CloseCustomer', customerId: 'ada', reason: 'x' }, request());
      await app.customers({ type: 'ChangeCustomerDetails', customerId: 'bob', email: 'b@example.com' }, request());
    });
  });

  it('of one customer never reaches another\'s', async () => {
    await app.customers(register, request());
    expect(await refusal(app.customers(suspend, request({ onlyCustomer: 'bob' })))).to.equal('customer.unknown');
    expect(await refusal(app.customers({ ...register, customerId: 'eve' }, request({ onlyCustomer: 'bob' })))).to.equal('customer.unknown');
    expect((await app.customers(suspend, request({ onlyCustomer: 'ada' }))).version).to.equal(2);
  });

  describe('to a long stream', () => {
    const limits = async (count: number) => {
      for (let n = 1; n <= count; n++) await app.customers({ type: 'SetCreditLimit', customerId: 'ada', creditLimitMinor: n }, request());
    };
    it('begins at a snapshot', async () => {
      await app.customers(register, request());
      await limits(250);
      expect(await app.snapshots.customers.load('customer-ada')).to.include({ version: 200 });
      const read = sinon.spy(app.stores.customers, 'readStream');
      expect((await app.process().customers(suspend, request())).version).to.equal(252);
      expect(read.firstCall.args).to.deep.equal(['customer-ada', { after: 200 }]);
    });
    it('does not use a snapshot of another shape', async () => {
      await app.customers(register, request());
      await app.snapshots.customers.save({ stream: 'customer-ada', version: 1, revision: 0, position: 1, at: '2026-01-01T00:00:00.000Z', state: 'old' });
      expect((await app.process().customers(suspend, request())).version).to.equal(2);
    });
    it('goes on when a snapshot cannot be kept', async () => {
      sinon.stub(app.snapshots.customers, 'save').rejects(new Error('full'));
      await app.customers(register, request());
      await limits(200);
      expect((await app.customers(suspend, request())).version).to.equal(202);
    });
  });
});
