import fc from 'fast-check';
import { customer, type Customer, type CustomerCommand, type CustomerEvent } from '../../src/domain/customers/customer.js';
import type { DomainEvent } from '../../src/domain/events.js';
import { order, type Order, type OrderCommand, type OrderEvent } from '../../src/domain/orders/order.js';
import { Rejection } from '../../src/domain/shared/rejection.js';

const reason = fc.constantFrom('late', 'moved');
const money = fc.integer({ min: 0, max: 500 });
const limit = fc.option(fc.integer({ min: 0, max: 1_500 }), { nil: null });
const text = fc.constantFrom('Ada', 'Bob', 'Ångström', 'Łukasz');

export function customerCommands(customerId = 'c-1', orderIds: readonly string[] = ['o-1', 'o-2', 'constructor']): fc.Arbitrary<CustomerCommand> {
  const orderId = fc.constantFrom(...orderIds);
  return fc.oneof(
    fc.record({ type: fc.constant('RegisterCustomer' as const), customerId: fc.constant(customerId), name: text, currency: fc.constantFrom('EUR', 'XQX'), creditLimitMinor: limit }),
    fc.record({ type: fc.constant('ChangeCustomerDetails' as const), customerId: fc.constant(customerId), name: text, email: fc.constantFrom(null, 'a@example.com') }),
    fc.record({ type: fc.constant('SetCreditLimit' as const), customerId: fc.constant(customerId), creditLimitMinor: limit }),
    fc.record({ type: fc.constant('SuspendCustomer' as const), customerId: fc.constant(customerId), reason }),
    fc.record({ type: fc.constant('ReactivateCustomer' as const), customerId: fc.constant(customerId) }),
    fc.record({ type: fc.constant('CloseCustomer' as const), customerId: fc.constant(customerId), reason }),
    fc.record({ type: fc.constant('ReserveCredit' as const), customerId: fc.constant(customerId), orderId, amountMinor: money }),
    fc.record({ type: fc.constant('ReleaseCredit' as const), customerId: fc.constant(customerId), orderId }),
  );
}

export function orderCommands(orderId = 'o-1', customerId = 'c-1'): fc.Arbitrary<OrderCommand> {
  const id = fc.constant(orderId);
  return fc.oneof(
    fc.record({
      type: fc.constant('PlaceOrder' as const), orderId: id, customerId: fc.constant(customerId), currency: fc.constantFrom('EUR', 'EUR', 'USD'), shippingMinor: money,
      lines: fc.array(fc.record({ sku: fc.constantFrom('s-1', 's-2'), name: text, quantity: fc.integer({ min: 1, max: 3 }), unitPriceMinor: money }), { maxLength: 3 }),
      customer: fc.constant({ name: 'Ada', status: 'active' as const, currency: 'EUR' }),
    }),
    fc.constant({ type: 'ApproveOrder' as const, orderId }),
    fc.constant({ type: 'RejectOrder' as const, orderId, reason: 'credit.limit-exceeded' as const }),
    fc.record({ type: fc.constant('PayOrder' as const), orderId: id, paymentReference: fc.constantFrom('p', 'q') }),
    fc.constant({ type: 'ShipOrder' as const, orderId, carrier: 'Post' }),
    fc.constant({ type: 'DeliverOrder' as const, orderId }),
    fc.record({ type: fc.constant('CancelOrder' as const), orderId: id, reason }),
  );
}

export interface Stream { stream: string; events: DomainEvent[] }

const start = Date.UTC(2026, 0, 1);

/** What a stream is after these commands, the refused ones left out. */
export function customerStream(customerId: string, commands: readonly CustomerCommand[]): Stream {
  let state: Customer = customer.initial;
  const events: CustomerEvent[] = [];
  commands.forEach((command, index) => {
    const made = allowed(() => customer.decide(command, state, new Date(start + index * 1_000)));
    for (const event of made) state = customer.evolve(state, event);
    events.push(...made);
  });
  return { stream: `customer-${customerId}`, events };
}

export function orderStream(orderId: string, commands: readonly OrderCommand[]): Stream {
  let state: Order = order.initial;
  const events: OrderEvent[] = [];
  commands.forEach((command, index) => {
    const made = allowed(() => order.decide(command, state, new Date(start + index * 1_000)));
    for (const event of made) state = order.evolve(state, event);
    events.push(...made);
  });
  return { stream: `order-${orderId}`, events };
}

export function allowed<E>(decide: () => E[]): E[] {
  try {
    return decide();
  } catch (error) {
    if (error instanceof Rejection) return [];
    throw error;
  }
}
