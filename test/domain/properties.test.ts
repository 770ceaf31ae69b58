import { expect } from 'chai';
import fc from 'fast-check';
import { customer, type Customer } from '../../src/domain/customers/customer.js';
import { order, type Order, type OrderStatus } from '../../src/domain/orders/order.js';
import { allowed, customerCommands, customerStream, orderCommands, orderStream } from '../support/arbitraries.js';
import { now } from '../support/given.js';

const held = (state: Customer) => (state.status === 'unknown' ? 0 : [...state.reserved].reduce((total, [, minor]) => total + minor, 0));

describe('whatever is asked of a customer', () => {
  it('never reserves above the limit, and a second time changes nothing', () => {
    fc.assert(fc.property(fc.array(customerCommands(), { maxLength: 30 }), (commands) => {
      let state: Customer = customer.initial;
      for (const command of commands) {
        const events = allowed(() => customer.decide(command, state, now));
        state = events.reduce((folded, event) => customer.evolve(folded, event), state);
        const [event] = events;
        if (event?.type === 'CreditReserved' && state.status !== 'unknown' && state.creditLimitMinor !== null) expect(held(state)).to.be.at.most(state.creditLimitMinor);
        if (event?.type === 'CustomerClosed') expect(held(state)).to.equal(0);
        // A refusal of credit may be said twice: it is an answer, not a change.
        if (events.length > 0 && event?.type !== 'CreditRefused') expect(allowed(() => customer.decide(command, state, now))).to.deep.equal([]);
      }
    }));
  });

  it('holds exactly what was reserved and not released', () => {
    fc.assert(fc.property(fc.array(customerCommands(), { maxLength: 30 }), (commands) => {
      const { events } = customerStream('c-1', commands);
      const open = new Map<string, number>();
      for (const event of events) {
        if (event.type === 'CreditReserved') open.set(event.orderId, event.amountMinor);
        if (event.type === 'CreditReleased') expect(open.delete(event.orderId)).to.equal(true);
      }
      const state = events.reduce<Customer>((folded, event) => customer.evolve(folded, event as never), customer.initial);
      expect(held(state)).to.equal([...open.values()].reduce((total, minor) => total + minor, 0));
      if (state.status !== 'unknown') expect(state.heldMinor).to.equal(BigInt(held(state)));
    }));
  });
});

const allowedMoves: Record<OrderStatus | 'unknown', readonly OrderStatus[]> = {
  unknown: ['placed'], placed: ['approved', 'rejected', 'cancelled'], approved: ['shipped', 'cancelled'], shipped: ['delivered'], rejected: [], delivered: [], cancelled: [],
};

describe('whatever is asked of an order', () => {
  it('moves only along the allowed ways, is paid once at most, and a second time changes nothing', () => {
    fc.assert(fc.property(fc.array(orderCommands(), { maxLength: 30 }), (commands) => {
      let state: Order = order.initial;
      let payments = 0;
      for (const command of commands) {
        const before = state.status;
        const events = allowed(() => order.decide(command, state, now));
        state = events.reduce((folded, event) => order.evolve(folded, event), state);
        if (state.status !== before) expect(allowedMoves[before]).to.include(state.status);
        payments += events.filter(({ type }) => type === 'OrderPaid').length;
        if (events.length > 0) expect(allowed(() => order.decide(command, state, now))).to.deep.equal([]);
      }
      expect(payments).to.be.at.most(1);
    }));
  });
});

describe('folding', () => {
  it('is total: any events in any order, and the same twice', () => {
    const histories = fc.array(fc.oneof(customerCommands(), customerCommands('c-2')), { maxLength: 20 }).map((commands) => customerStream('c-1', commands).events);
    fc.assert(fc.property(histories.chain((events) => fc.shuffledSubarray(events)), (events) => {
      const fold = () => events.reduce<Customer>((state, event) => customer.evolve(state, event as never), customer.initial);
      expect(fold()).to.deep.equal(fold());
    }));
    const orders = fc.array(orderCommands(), { maxLength: 20 }).map((commands) => orderStream('o-1', commands).events);
    fc.assert(fc.property(orders.chain((events) => fc.shuffledSubarray(events)), (events) => {
      const fold = () => events.reduce<Order>((state, event) => order.evolve(state, event as never), order.initial);
      expect(fold()).to.deep.equal(fold());
    }));
  });
});
