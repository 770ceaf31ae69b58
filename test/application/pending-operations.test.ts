import { expect } from 'chai';
import sinon, { type SinonFakeTimers } from 'sinon';
import { BrokerClock } from '../../src/infrastructure/kafka/commands/broker-clock.js';
import { tooLate, type Operation, type Written } from '../../src/infrastructure/kafka/commands/command-operations.js';
import type { Outgoing } from '../../src/infrastructure/kafka/commands/operation-writer.js';
import { PendingOperations } from '../../src/infrastructure/kafka/commands/pending-operations.js';
import { Rejection } from '../../src/domain/shared/rejection.js';

const brokerStart = Date.parse('2026-01-01T00:00:00Z');
const cancel: Operation = { type: 'cancel', commandId: 'c-1' };

async function refusal(work: Promise<unknown>): Promise<Rejection> {
  const error = await work.then(() => undefined, (reason: unknown) => reason);
  if (!(error instanceof Rejection)) throw new Error('it was not refused', { cause: error });
  return error;
}

describe('the clock of a broker', () => {
  let time: SinonFakeTimers;
  beforeEach(() => { time = sinon.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] }); });
  afterEach(() => { time.restore(); });

  it('is as far on as the newest stamp, and goes on with ours', () => {
    const clock = new BrokerClock();
    expect(clock.now()).to.equal(-Infinity);
    clock.heard(brokerStart);
    time.tick(1_000);
    expect(clock.now()).to.equal(brokerStart + 1_000);
    clock.heard(brokerStart + 500);
    expect(clock.now(), 'an older stamp was on its way for longer').to.equal(brokerStart + 1_000);
    clock.heard(brokerStart + 3_000);
    expect(clock.now()).to.equal(brokerStart + 3_000);
  });

  it('is set back by a stamp that was asked for: it cannot be older than the question', () => {
    const clock = new BrokerClock();
    clock.heard(brokerStart + 60_000);
    const since = performance.now();
    time.tick(10);
    clock.heard(brokerStart, since);
    expect(clock.now()).to.equal(brokerStart + 10);
  });
});

describe('an operation that a caller waits for', () => {
  let time: SinonFakeTimers;
  beforeEach(() => { time = sinon.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] }); });
  afterEach(() => { time.restore(); });
  let written: Outgoing[];
  let withdrawn: Outgoing[];
  let stop: AbortController;
  let pending: PendingOperations;
  const sent = (n: number) => JSON.parse(written[n]!.text) as Written;
  beforeEach(() => {
    [written, withdrawn, stop] = [[], [], new AbortController()];
    pending = new PendingOperations({ write: (one) => { written.push(one); }, withdraw: (one) => { withdrawn.push(one); } }, stop.signal);
  });

  it('is answered when it has come back, and by no other', async () => {
    const asked = pending.perform<string>(cancel);
    pending.answer('of another process', 'not this', brokerStart);
    pending.answer(sent(0).id, 'done', brokerStart);
    expect(await asked).to.equal('done');
    expect(pending.now()).to.equal(brokerStart);
  });

  it('is written with the time by which it is to be done, but for a look', () => {
    void pending.perform({ type: 'look' });
    expect(sent(0)).to.have.all.keys('id', 'operation');
    pending.answer(sent(0).id, undefined, brokerStart);
    void pending.perform(cancel);
    expect(Object.keys(sent(1))).to.deep.equal(['id', 'by', 'operation']);
    expect(sent(1).by).to.equal(brokerStart + 5_000);
  });

  it('is asked for again when it came too late, for as long as its caller waits', async () => {
    const asked = refusal(pending.perform(cancel));
    await time.tickAsync(3_000);
    pending.answer(sent(0).id, tooLate, brokerStart);
    await time.tickAsync(0);
    expect(written).to.have.length(2);
    await time.tickAsync(2_000);
    expect(await asked).to.deep.include({ code: 'log.unavailable' });
  });

  for (const [what, isSent] of [['not sent', false], ['sent', true]] as const) {
    it(`is refused and withdrawn when nobody can wait any longer: ${what}`, async () => {
      const asked = refusal(pending.perform(cancel));
      written[0]!.sent = isSent;
      pending.giveUp();
      expect((await asked).details).to.deep.equal({ reason: 'Kafka cannot be reached', ...(isSent && { outcome: 'unknown' }) });
      expect(withdrawn).to.deep.equal(written);
    });
  }

  it('is refused at once when the queue is closed', async () => {
    stop.abort();
    expect(await refusal(pending.perform(cancel))).to.deep.include({ code: 'log.unavailable' });
    expect(written).to.deep.equal([]);
  });
});
