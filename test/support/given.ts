import { expect } from 'chai';
import type { Decider } from '../../src/domain/shared/decider.js';
import { Rejection, type RejectionCode } from '../../src/domain/shared/rejection.js';

export const now = new Date('2026-02-03T04:05:06.000Z');
export const at = now.toISOString();

/** given(order).events(placed).when(command).then(events) or .refuses(code) */
export function given<C, S, E>(decider: Decider<C, S, E>) {
  return {
    events: (...past: E[]) => ({
      when(command: C) {
        const state = past.reduce((folded, event) => decider.evolve(folded, event), decider.initial);
        return {
          then(...expected: E[]) {
            expect(decider.decide(command, state, now)).to.deep.equal(expected);
          },
          refuses(code: RejectionCode) {
            expect(() => decider.decide(command, state, now)).to.throw(Rejection).with.property('code', code);
          },
        };
      },
    }),
  };
}
