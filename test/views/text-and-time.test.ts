import { expect } from 'chai';
import fc from 'fast-check';
import { boundsOf } from '../../src/application/queries/period.js';
import { partitionOf } from '../../src/application/log/partition.js';
import { foldWords } from '../../src/application/views/text.js';
import { eventCodec } from '../../src/application/log/codec.js';
import { formatToken, parseTokens } from '../../src/application/log/token.js';
import { gather } from '../../src/application/concurrency/gather.js';

describe('folded words', () => {
  const cases: [string, string[]][] = [
    ['Ångström', ['angstrom']],
    ['A-100, x_2', ['a', '100', 'x', '2']],
    ['ﬁne № ²', ['fine', 'no', '2']],
    ['Straße ΣΊΣΥΦΟΣ', ['straße', 'σισυφοσ']],
    ['😀👍🏽 ok', ['😀', '👍', 'ok']],
    ['!!!', []],
    ['', []],
  ];
  for (const [text, words] of cases) it(`of "${text}" are ${JSON.stringify(words)}`, () => { expect(foldWords(text)).to.deep.equal(words); });

  it('cut scripts that write without spaces', () => { expect(foldWords('東京都の天気')).to.include('天気'); });
  it('are cut at 64, never inside a pair', () => {
    expect(foldWords('x'.repeat(500))).to.deep.equal(['x'.repeat(64)]);
    for (const word of foldWords('𝒳'.repeat(10) + '𠮷'.repeat(99))) expect(word.isWellFormed()).to.equal(true);
  });
  it('of plain text are the same the slow way', () => {
    fc.assert(fc.property(fc.string({ unit: 'grapheme-ascii', maxLength: 40 }), (text) => {
      // A letter outside ASCII sends the whole text the slow way.
      expect(foldWords(`${text} ñ`)).to.deep.equal([...foldWords(text), 'n']);
    }));
  });
  it('of folded words are themselves', () => {
    fc.assert(fc.property(fc.string({ unit: 'grapheme', maxLength: 30 }), (text) => {
      const words = foldWords(text);
      expect(foldWords(words.join(' '))).to.deep.equal(words);
    }));
  });
});

describe('a period', () => {
  const months: [string, string, string, string][] = [
    ['2026-01-01T00:00:00.000Z', 'last-month', '2025-12-01T00:00:00.000Z', '2026-01-01T00:00:00.000Z'],
    ['2026-01-31T23:59:59.999Z', 'last-month', '2025-12-01T00:00:00.000Z', '2026-01-01T00:00:00.000Z'],
    ['2025-12-31T23:59:59.999Z', 'this-month', '2025-12-01T00:00:00.000Z', '2026-01-01T00:00:00.000Z'],
    ['2024-03-31T12:00:00.000Z', 'last-month', '2024-02-01T00:00:00.000Z', '2024-03-01T00:00:00.000Z'],
  ];
  for (const [now, period, from, before] of months) {
    it(`${period} at ${now} is from ${from} to before ${before}`, () => { expect(boundsOf(period as 'last-month', new Date(now))).to.deep.equal({ from, before }); });
  }
  it('of days goes back from now', () => {
    expect(boundsOf('last-7-days', new Date('2026-01-03T05:00:00.000Z'))).to.deep.equal({ from: '2025-12-27T05:00:00.000Z' });
    expect(boundsOf('last-30-days', new Date('2026-01-03T05:00:00.000Z'))).to.deep.equal({ from: '2025-12-04T05:00:00.000Z' });
  });
});

describe('a partition', () => {
  it('is a pure function that spreads', () => {
    const counts = Array.from({ length: 12 }, () => 0);
    for (let i = 0; i < 12_000; i++) counts[partitionOf(`c-${i}`, 12)]!++;
    for (const count of counts) expect(count).to.be.within(700, 1_300);
  });
  it('is part of the public contract: these never change', () => {
    expect(['ALFKI', 'ada', 'c-1', 'constructor'].map((id) => partitionOf(id, 12))).to.deep.equal([7, 2, 0, 6]);
  });
});

describe('a consistency token', () => {
  it('is read as it was written, several joined by commas', () => {
    const tokens = [{ context: 'orders', position: 1234, partition: 7 }, { context: 'customers', position: 1, partition: 0 }] as const;
    expect(parseTokens(tokens.map(formatToken).join(', '))).to.deep.equal(tokens);
  });
  for (const wrong of ['', 'orders:1', 'nowhere:1:2', 'orders:-1:0', 'orders:1:2:3', 'orders:1:2,']) {
    it(`"${wrong}" is refused`, () => { expect(() => parseTokens(wrong)).to.throw().with.property('code', 'input.invalid'); });
  }
});

describe('the event codec', () => {
  it('upcasts what was stored in an older shape, step by step', () => {
    const codec = eventCodec({ OrderApproved: [(data) => ({ ...data, customerId: data.customer }), ({ customer: _old, ...data }) => ({ ...data, at: '2026' })] });
    expect(codec.decode({ type: 'OrderApproved', schemaVersion: 1, data: { orderId: 'o', customer: 'c' } })).to.deep.equal({ type: 'OrderApproved', orderId: 'o', customerId: 'c', at: '2026' });
    expect(codec.decode({ type: 'OrderApproved', schemaVersion: 2, data: { orderId: 'o', customerId: 'c', customer: 'c' } })).to.deep.equal({ type: 'OrderApproved', orderId: 'o', customerId: 'c', at: '2026' });
    expect(codec.encode({ type: 'OrderApproved', orderId: 'o', customerId: 'c', at: '2026' })).to.deep.equal({ type: 'OrderApproved', schemaVersion: 3, data: { orderId: 'o', customerId: 'c', at: '2026' } });
  });
});

describe('gathered look-ups', () => {
  it('of one turn become one', async () => {
    const asked: string[][] = [];
    const get = gather(async (ids) => { asked.push([...ids]); return new Map(ids.map((id) => [id, id.toUpperCase()])); });
    expect(await Promise.all([get('a'), get('b'), get('a')])).to.deep.equal(['A', 'B', 'A']);
    expect(await get('c')).to.equal('C');
    expect(asked).to.deep.equal([['a', 'b'], ['c']]);
  });
  it('fail together, and the next one is asked anew', async () => {
    let down = true;
    const get = gather<string>(async () => { if (down) throw new Error('down'); return new Map(); });
    expect(await Promise.allSettled([get('a'), get('b')]).then((all) => all.map(({ status }) => status))).to.deep.equal(['rejected', 'rejected']);
    down = false;
    expect(await get('a')).to.equal(undefined);
  });
});
