import { expect } from 'chai';
import { lineTotal, order, type OrderCommand, type OrderEvent } from '../../src/domain/orders/order.js';
import { at, given } from '../support/given.js';

const ids = { orderId: 'o-1', customerId: 'ada' };
const lines = [{ sku: 'a', name: 'Chair', quantity: 2, unitPriceMinor: 500, discountMinor: 100 }, { sku: 'b', name: 'Cushion', quantity: 1, unitPriceMinor: 50 }];
const customer = { name: 'Ada', status: 'active', currency: 'EUR' } as const;
const place: Extract<OrderCommand, { type: 'PlaceOrder' }> = { type: 'PlaceOrder', ...ids, currency: 'EUR', lines, shippingMinor: 49, customer };
const placed: OrderEvent = { type: 'OrderPlaced', ...ids, customerName: 'Ada', currency: 'EUR', lines, shippingMinor: 49, subtotalMinor: 950, totalMinor: 999, at };
const approved: OrderEvent = { type: 'OrderApproved', ...ids, at };
const rejected: OrderEvent = { type: 'OrderRejected', ...ids, reason: 'credit.limit-exceeded', totalMinor: 999, at };
const paid: OrderEvent = { type: 'OrderPaid', ...ids, paymentReference: 'p', totalMinor: 999, at };
const shipped: OrderEvent = { type: 'OrderShipped', ...ids, carrier: 'Post', at };
const delivered: OrderEvent = { type: 'OrderDelivered', ...ids, at };
const cancelled: OrderEvent = { type: 'OrderCancelled', ...ids, reason: 'no', totalMinor: 999, at };

const { orderId } = ids;
const approve: OrderCommand = { type: 'ApproveOrder', orderId };
const reject: OrderCommand = { type: 'RejectOrder', orderId, reason: 'credit.limit-exceeded' };
const pay: OrderCommand = { type: 'PayOrder', orderId, paymentReference: 'p' };
const ship: OrderCommand = { type: 'ShipOrder', orderId, carrier: 'Post' };
const deliver: OrderCommand = { type: 'DeliverOrder', orderId };
const cancel: OrderCommand = { type: 'CancelOrder', orderId, reason: 'no' };

describe('an order', () => {
  describe('PlaceOrder', () => {
    it('places with the sums of its lines', () => { given(order).events().when(place).then(placed); });
    it('ships for nothing unless told otherwise', () => {
      const { shippingMinor: _none, ...free } = place;
      given(order).events().when(free).then({ ...placed, shippingMinor: 0, totalMinor: 950 });
    });
    it('is refused twice', () => { given(order).events(placed).when(place).refuses('order.exists'); });
    it('is refused to an unknown customer', () => { given(order).events().when({ ...place, customer: undefined }).refuses('customer.unknown'); });
    it('is refused to a suspended customer', () => { given(order).events().when({ ...place, customer: { ...customer, status: 'suspended' } }).refuses('customer.suspended'); });
    it('is refused to a closed customer', () => { given(order).events().when({ ...place, customer: { ...customer, status: 'closed' } }).refuses('customer.closed'); });
    it('is refused in another currency than the customer\'s', () => { given(order).events().when({ ...place, currency: 'USD' }).refuses('order.currency-differs'); });
    it('is refused in a currency that does not exist', () => { given(order).events().when({ ...place, currency: 'XQX' }).refuses('money.unknown-currency'); });
    it('is refused without lines', () => { given(order).events().when({ ...place, lines: [] }).refuses('order.empty'); });
    it('is refused with a discount above its line', () => { given(order).events().when({ ...place, lines: [{ ...lines[1]!, discountMinor: 51 }] }).refuses('order.discount-too-large'); });
    it('is refused when a sum leaves the safe integers', () => {
      const dear = { sku: 'x', name: 'X', quantity: 1, unitPriceMinor: Number.MAX_SAFE_INTEGER };
      given(order).events().when({ ...place, lines: [dear, dear] }).refuses('money.out-of-range');
      given(order).events().when({ ...place, lines: [{ ...dear, quantity: 2 }] }).refuses('money.out-of-range');
      given(order).events().when({ ...place, lines: [dear], shippingMinor: 1 }).refuses('money.out-of-range');
    });
    it('is refused with half a cent', () => { given(order).events().when({ ...place, lines: [{ ...lines[1]!, unitPriceMinor: 0.5 }] }).refuses('money.out-of-range'); });
  });

  const happens: [string, OrderEvent[], OrderCommand, OrderEvent][] = [
    ['approves', [placed], approve, approved],
    ['rejects', [placed], reject, rejected],
    ['is paid once approved', [placed, approved], pay, paid],
    ['is paid once shipped', [placed, approved, shipped], pay, paid],
    ['is paid once delivered', [placed, approved, shipped, delivered], pay, paid],
    ['ships once approved', [placed, approved], ship, shipped],
    ['ships once paid', [placed, approved, paid], ship, shipped],
    ['is delivered once shipped', [placed, approved, shipped], deliver, delivered],
    ['is cancelled while placed', [placed], cancel, cancelled],
    ['is cancelled once approved', [placed, approved], cancel, cancelled],
    ['is cancelled once paid', [placed, approved, paid], cancel, cancelled],
  ];
  for (const [what, past, command, event] of happens) it(what, () => { given(order).events(...past).when(command).then(event); });

  const quiet: [string, OrderEvent[], OrderCommand][] = [
    ['approving again', [placed, approved], approve],
    ['approving once rejected: the first decision stands', [placed, rejected], approve],
    ['approving once cancelled', [placed, cancelled], approve],
    ['rejecting again', [placed, rejected], reject],
    ['rejecting once approved', [placed, approved], reject],
    ['rejecting once cancelled', [placed, cancelled], reject],
    ['paying again under the same reference', [placed, approved, paid], pay],
    ['paying again after a cancellation', [placed, approved, paid, cancelled], pay],
    ['shipping again', [placed, approved, shipped], ship],
    ['shipping once delivered', [placed, approved, shipped, delivered], ship],
    ['delivering again', [placed, approved, shipped, delivered], deliver],
    ['cancelling again', [placed, cancelled], cancel],
  ];
  for (const [what, past, command] of quiet) it(`${what} changes nothing`, () => { given(order).events(...past).when(command).then(); });

  const refused: [string, OrderEvent[], OrderCommand, Parameters<ReturnType<ReturnType<ReturnType<typeof given<OrderCommand, never, OrderEvent>>['events']>['when']>['refuses']>[0]][] = [
    ['pay before the approval', [placed], pay, 'order.not-approved'],
    ['pay once rejected', [placed, rejected], pay, 'order.rejected'],
    ['pay once cancelled', [placed, approved, cancelled], pay, 'order.cancelled'],
    ['pay twice under different references', [placed, approved, paid], { ...pay, paymentReference: 'q' }, 'order.already-paid'],
    ['ship before the approval', [placed], ship, 'order.not-approved'],
    ['ship once rejected', [placed, rejected], ship, 'order.rejected'],
    ['ship once cancelled', [placed, cancelled], ship, 'order.cancelled'],
    ['deliver while placed', [placed], deliver, 'order.not-approved'],
    ['deliver before it is shipped', [placed, approved], deliver, 'order.not-shipped'],
    ['deliver once rejected', [placed, rejected], deliver, 'order.rejected'],
    ['deliver once cancelled', [placed, cancelled], deliver, 'order.cancelled'],
    ['cancel once rejected', [placed, rejected], cancel, 'order.rejected'],
    ['cancel once shipped', [placed, approved, shipped], cancel, 'order.already-shipped'],
    ['cancel once delivered', [placed, approved, shipped, delivered], cancel, 'order.already-shipped'],
  ];
  for (const [what, past, command, code] of refused) it(`cannot ${what}`, () => { given(order).events(...past).when(command).refuses(code); });
  for (const command of [approve, reject, pay, ship, deliver, cancel]) it(`${command.type} is refused for an unknown one`, () => { given(order).events().when(command).refuses('order.unknown'); });

  it('counts a line after its discount', () => { expect(lineTotal(lines[0]!)).to.equal(900); });
});
