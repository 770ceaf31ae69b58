import { expect } from 'chai';
import { createTokenCheck, parseTokens } from '../../src/application/log/token.js';
import type { LogHead } from '../../src/application/ports/event-store.js';
import { Rejection } from '../../src/domain/shared/rejection.js';

describe('the tokens that a caller brings', () => {
  const check = async (text: string, orders: { head: () => Promise<LogHead> } | undefined) =>
    createTokenCheck({ ...(orders && { orders }) }, 12)(parseTokens(text)).then(() => 'fine', (error: unknown) => (error as Rejection).code);
  const at = (position: number) => ({ head: () => Promise.resolve({ position, epoch: 'e' }) });

  it('are refused beyond the end of the log, and beyond its partitions', async () => {
    expect(await check('orders:7:11', at(7))).to.equal('fine');
    expect(await check('orders:8:11', at(7))).to.equal('input.invalid');
    expect(await check('orders:7:12', at(7))).to.equal('input.invalid');
    expect(await check('orders:7:1,orders:8:1', at(7))).to.equal('input.invalid');
  });

  it('are taken as they are where the log is not at hand, away or silent: only what can be known is refused', async () => {
    expect(await check('orders:8:1', undefined)).to.equal('fine');
    expect(await check('orders:8:12', undefined)).to.equal('input.invalid');
    expect(await check('orders:8:1', { head: () => Promise.reject(new Rejection('log.unavailable')) })).to.equal('fine');
    expect(await check('orders:8:1', { head: () => new Promise(() => undefined) })).to.equal('fine');
  });

  it('ask the log only for what is newer than all that was seen of it', async () => {
    let [asked, position] = [0, 7];
    const tokens = createTokenCheck({ orders: { head: () => Promise.resolve({ position: (asked++, position), epoch: 'e' }) } }, 12);
    for (const text of ['orders:7:1', 'orders:7:2', 'orders:3:0']) await tokens(parseTokens(text));
    expect(asked).to.equal(1);
    position = 9;
    await tokens(parseTokens('orders:8:1'));
    expect(asked).to.equal(2);
  });
});
