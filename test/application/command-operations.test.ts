import { expect } from 'chai';
import { CommandOperations, repeated, tooLate, type Operation, type Written } from '../../src/infrastructure/kafka/commands/command-operations.js';
import { CommandTable } from '../../src/application/commands/command-table.js';
import { done, keyed, newCommand } from '../contracts/command-queue.contract.js';
import type { Lease } from '../../src/application/ports/command-queue.js';

const start = Date.parse('2026-01-01T00:00:00Z');
const minute = 60_000;

/** A topic in memory, and what its operations come to. */
class Topic {
  readonly records: { written: Written; at: number }[] = [];
  readonly operations = new CommandOperations();

  write(operation: Operation, at: number, more: Partial<Written> = {}): unknown {
    const written = { id: String(this.records.length), operation, ...more };
    this.records.push({ written, at });
    return this.operations.apply(written, at, BigInt(this.records.length - 1));
  }

  /** As another process does, which begins at `offset`. */
  readFrom(offset: bigint): CommandOperations {
    const operations = new CommandOperations();
    for (let n = Number(offset); n < this.records.length; n++) operations.apply(this.records[n]!.written, this.records[n]!.at, BigInt(n));
    return operations;
  }
}

const lease = (limit = 10): Operation => ({ type: 'lease', limit, leaseMs: 5_000 });
const enqueue = (...args: Parameters<typeof newCommand>): Operation & { type: 'enqueue' } => ({ type: 'enqueue', command: newCommand(...args) });

describe('the operations of a command queue', () => {
  let topic: Topic;
  beforeEach(() => { topic = new Topic(); });
  function finish(operation: Operation & { type: 'enqueue' }, at: number): void {
    topic.write(operation, at);
    for (const held of topic.write(lease(), at) as Lease[]) topic.write({ type: 'finish', lease: held, end: done }, at);
  }

  it('are done once, though written twice', () => {
    topic.write(enqueue('a'), start);
    topic.write(enqueue('b'), start);
    expect(topic.write(lease(1), start, { id: 'x' })).to.have.length(1);
    expect(topic.write(lease(1), start + 4_000, { id: 'x' })).to.equal(repeated);
    expect(topic.write(lease(), start + 4_000)).to.have.length(1);
  });

  it('are not done when they come later than their callers waited', () => {
    expect(topic.write(enqueue(), start + 5_001, { by: start + 5_000 })).to.equal(tooLate);
    expect(topic.operations.table.depth).to.equal(0);
    topic.write(enqueue(), start + 5_000, { by: start + 5_000 });
    expect(topic.operations.table.depth).to.equal(1);
  });

  it('can be read from where nothing waited, and come to the same', () => {
    let dice = 7;
    const random = (n: number) => (dice = dice * 48_271 % 2_147_483_647) % n;
    const held: Lease[] = [];
    let at = start;
    const ends = start + 60 * minute;
    for (; at < ends; at += random(3_000)) {
      const what = random(20);
      if (what < 3) topic.write(enqueue(`s-${random(5)}`, { ...keyed(`k-${random(1_000_000)}`), ...(random(3) === 0 && { deadline: new Date(at + 4_000).toISOString() }) }), at);
      else if (what < 10) held.push(...topic.write(lease(1 + random(3)), at) as Lease[]);
      else if (held.length > 0) topic.write({ type: 'finish', lease: held.splice(random(held.length), 1)[0]!, end: done }, at);
    }
    for (const one of held) topic.write({ type: 'finish', lease: one, end: done }, at);
    topic.write(enqueue('last'), at);
    const offset = topic.operations.lastQuietBefore(ends - 20 * minute)!;
    expect(Number(offset)).to.be.greaterThan(topic.records.length / 4).and.lessThan(topic.records.length * 0.7);
    const late = topic.readFrom(offset);
    const recent = late.table.list({ limit: 1_000_000 }, at);
    expect(recent.length).to.be.greaterThan(100);
    expect(topic.operations.table.list({ limit: recent.length }, at)).to.deep.equal(recent);
    expect(late.table.lease(10, 1, at)).to.deep.equal(topic.operations.table.lease(10, 1, at));
  });

  it('leave no quiet moment between what was taken for a repetition and what it repeats', () => {
    const first = enqueue('s', keyed('k'));
    finish(first, start);
    expect(topic.operations.lastQuietBefore(Infinity)).to.not.equal(undefined);
    // By a process that had not read the first one yet.
    topic.write(enqueue('s', keyed('k')), start + 100);
    expect(topic.operations.table.depth).to.equal(0);
    expect(topic.operations.lastQuietBefore(Infinity)).to.be.oneOf([undefined, BigInt(topic.records.length)]);
  });

  it('may use a key again that ended a while ago, whether or not it is remembered', () => {
    const first = enqueue('s', keyed('k'));
    finish(first, start);
    const second = enqueue('s', keyed('k'));
    topic.write(second, start + 2 * minute);
    expect(topic.operations.table.earlier(newCommand('s', keyed('k')), start)?.commandId).to.equal(second.command.commandId);
    expect(topic.operations.table.find(first.command.commandId, start)?.status).to.equal('succeeded');
  });
});

describe('the table of commands', function () {
  this.timeout(20_000);

  it('tells what is due among as many streams as a queue may hold', () => {
    const table = new CommandTable();
    const command = newCommand();
    for (let n = 0; n < 200_000; n++) table.enqueue({ ...command, commandId: String(n), stream: `s-${n}` }, start + 1);
    expect(table.nextDue(start)).to.equal(start + 1);
  });

  it('forgets the oldest of very many that ended, and nothing that ended just now', () => {
    const table = new CommandTable(1_000);
    const at = (n: number) => start + n * 100;
    const [first] = Array.from({ length: 1_630 }, (_, n) => {
      const command = newCommand('s', keyed(`k-${n}`));
      table.enqueue(command, at(n));
      for (const held of table.lease(1, 1_000, at(n))) table.finish(held, done, at(n));
      return command;
    });
    expect(table.list({ limit: Infinity }, at(1_630)).length).to.be.within(1_000, 1_010);
    expect(table.find(first!.commandId, start)).to.equal(undefined);
    expect(table.enqueue(newCommand('s', keyed('k-0')), at(1_630))).to.equal(true);
    expect(table.enqueue(newCommand('s', keyed('k-1629')), at(1_630))).to.equal(false);
  });

  it('remembers whatever ended within the last minute, however much that is', () => {
    const table = new CommandTable(100);
    for (let n = 0; n < 500; n++) {
      table.enqueue(newCommand('s', keyed(`k-${n}`)), start + n);
      for (const held of table.lease(1, 1_000, start + n)) table.finish(held, done, start + n);
    }
    expect(table.list({ limit: Infinity }, start).length).to.equal(500);
    expect(table.enqueue(newCommand('s', keyed('k-0')), start + 1_000)).to.equal(false);
  });
});
