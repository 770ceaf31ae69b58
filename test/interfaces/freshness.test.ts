import { expect } from 'chai';
import type { ViewProgress } from '../../src/application/ports/view-store.js';
import { freshness } from '../../src/interfaces/http/routes/replies.js';

const now = '2026-01-01T00:01:00.000Z';
const clock = { now: () => new Date(now) };
const at = (applied: ViewProgress['applied'], behindSince: string | null = null, checkedAt = now) => freshness({ applied, behindSince, checkedAt, epochs: {} }, clock);

describe('View-Position', () => {
  const applied = { 'orders/0': 1_200, 'orders/3': 1_234, 'orders/7': 12, 'orders/11': 0, 'customers/1': 5, 'customers/10': 4 } as ViewProgress['applied'];

  it('is the highest position of each context, where nothing waits', () => {
    expect(at(applied)).to.deep.equal({ 'view-position': 'customers=5, orders=1234', 'view-lag-ms': '0' });
  });

  it('names the partitions that have not got so far, where something waits, the slowest first', () => {
    expect(at(applied, '2026-01-01T00:00:00.000Z')).to.deep.equal({ 'view-position': 'customers=5;p10=4, orders=1234;p11=0;p7=12;p0=1200', 'view-lag-ms': '60000' });
  });

  it('does so also where nobody has looked for a while', () => {
    expect(at(applied, null, '2026-01-01T00:00:50.000Z')['view-position']).to.include('orders=1234;p11=0');
  });

  it('stays short, however many partitions there are', () => {
    const many = Object.fromEntries(Array.from({ length: 1_024 }, (_, n) => [`orders/${n}`, 1_000_000 - n])) as ViewProgress['applied'];
    const header = at(many, '2026-01-01T00:00:00.000Z')['view-position']!;
    expect(header).to.match(/^orders=1000000;p1023=998977;/);
    expect(header.length).to.be.below(300);
  });
});
