import { expect } from 'chai';
import fc from 'fast-check';
import type { ChainedEvent } from '../../src/application/log/message.js';
import { offsetToCommit, PartitionChain } from '../../src/infrastructure/kafka/events/partition-chain.js';

/** The nth message of one partition; positions have holes between them, where other partitions' events lie. */
const message = (n: number) => ({ prev: (n - 1) * 10, event: { position: n * 10, recordedAt: `t-${n}` } as ChainedEvent['event'] });

/** Reads a topic of one partition from an offset to its end, as the feed does. */
function reader(topic: readonly number[]) {
  const chain = new PartitionChain(false);
  const taken: number[] = [];
  let at = 0;
  let rewinds = 0;
  return {
    chain, taken,
    rewinds: () => rewinds,
    read() {
      while (at < topic.length) {
        const step = chain.next(message(topic[at]!), String(at), (taken.at(-1) ?? 0) * 10);
        if (step === 'take') taken.push(topic[at]!);
        if (step === 'rewind') {
          rewinds++;
          at = 0;
        } else at++;
      }
    },
  };
}
const to = (last: number, first = 1) => Array.from({ length: last - first + 1 }, (_, n) => first + n);

describe('the chain of a partition whose log is not at hand', () => {
  it('leaves out what does not link, and goes on when what is missing is published again behind it', () => {
    const topic = [...to(5), ...to(12, 8)];
    const { chain, taken, read, rewinds } = reader(topic);
    read();
    expect(taken).to.deep.equal(to(5));
    expect(chain.hole).to.deep.equal({ offset: '5', since: 't-8' });
    topic.push(13);
    read();
    expect(chain.hole, 'it is as old as it was').to.deep.equal({ offset: '5', since: 't-8' });
    expect(rewinds(), 'the topic is looked through once').to.equal(1);
    topic.push(...to(14, 6));
    read();
    expect(taken).to.deep.equal(to(14));
    expect(chain.hole).to.equal(undefined);
    expect(rewinds()).to.equal(1);
  });

  it('finds what was left out, where only what was missing comes again', () => {
    const topic = [...to(5), ...to(12, 8)];
    const { chain, taken, read } = reader(topic);
    read();
    topic.push(6, 7, 13);
    read();
    expect(taken).to.deep.equal(to(13));
    expect(chain.hole).to.equal(undefined);
  });

  it('takes everything in order, however often the topic was cut and published again', () => {
    fc.assert(fc.property(fc.array(fc.record({ written: fc.nat(6), lost: fc.nat(8), unnoticed: fc.nat(4) }), { maxLength: 8 }), (rounds) => {
      const topic: number[] = [];
      const one = reader(topic);
      let last = 0;
      for (const { written, lost, unnoticed } of rounds) {
        topic.push(...to(last + written, last + 1));
        last += written;
        // What this reader had not read when it was lost, and what went behind the loss before it was noticed.
        const from = Math.max(last - lost, one.taken.at(-1) ?? 0);
        while (topic.length > 0 && topic.at(-1)! > from) topic.pop();
        topic.push(...to(last + unnoticed, last + 1));
        last += unnoticed;
        one.read();
        topic.push(...to(last, from + 1));
        one.read();
        expect(one.taken).to.deep.equal(to(last));
        expect(one.chain.hole).to.equal(undefined);
      }
    }), { numRuns: 200 });
  });
});

describe('the chain of a partition whose log is at hand', () => {
  it('takes the next, drops what it has, and reads what is missing from the log', () => {
    const chain = new PartitionChain(true);
    expect([chain.next(message(3), '2', 20), chain.next(message(2), '1', 20), chain.next(message(5), '4', 20)]).to.deep.equal(['take', 'drop', 'read the log']);
    expect(chain.hole).to.equal(undefined);
  });

  it('looks into the topic once, where it has nothing', () => {
    const chain = new PartitionChain(true);
    expect(chain.next(message(3), '2', 0)).to.equal('rewind');
    expect(chain.next(message(3), '2', 0)).to.equal('read the log');
  });
});

describe('what a group notes of a partition', () => {
  it('is one message behind what was read, and before what is missing', () => {
    expect([offsetToCommit('0', undefined), offsetToCommit('7', undefined), offsetToCommit('7', { offset: '4', since: 't' })]).to.deep.equal(['0', '6', '3']);
  });
});
