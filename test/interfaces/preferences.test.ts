import { expect } from 'chai';
import { prefersAsync, seenBy } from '../../src/interfaces/http/request/request-headers.js';

describe('Prefer', () => {
  for (const [prefer, waitMs] of [
    [undefined, 5_000], ['wait=3', 3_000], ['Wait=3', 3_000], ['WAIT=3', 3_000], ['respond-async, Wait=0', 0], ['wait = "7"', 7_000], ['wait=99', 30_000], ['await=3', 5_000], ['wait=three', 5_000],
  ] as const) {
    it(`${prefer ?? 'absent'} waits for ${waitMs} ms`, () => {
      expect(seenBy({ 'consistency-token': 'orders:1:0', ...(prefer !== undefined && { prefer }) })?.waitMs).to.equal(waitMs);
    });
  }
  it('respond-async is told apart, however it is written', () => {
    for (const prefer of ['respond-async', 'Respond-Async', 'wait=3, RESPOND-ASYNC']) expect(prefersAsync({ prefer }), prefer).to.equal(true);
    expect(prefersAsync({ prefer: 'respond-asynchronously' })).to.equal(false);
  });
});
