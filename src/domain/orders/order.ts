import type { CreditRefusal } from '../customers/customer.js';
import type { Decider } from '../shared/decider.js';
import { amount, assertCurrency, sum } from '../shared/money.js';
import { Rejection } from '../shared/rejection.js';

export interface Line {
  sku: string;
  name: string;
  quantity: number;
  unitPriceMinor: number;
  discountMinor?: number;
}

/** What the orders service knows of a customer when an order is placed. It comes from its own copy; the customers service is never asked. */
export interface OrderingCustomer {
  name: string;
  status: 'active' | 'suspended' | 'closed';
  currency: string;
}

type Ids = { orderId: string; customerId: string };
type At = { at: string };

interface Placement extends Ids {
  customerName: string;
  currency: string;
  lines: readonly Line[];
  shippingMinor: number;
  /** All lines after discount. */
  subtotalMinor: number;
  /** With shipping. */
  totalMinor: number;
}

export type OrderCommand =
  | ({ type: 'PlaceOrder'; currency: string; lines: readonly Line[]; shippingMinor?: number; customer: OrderingCustomer | undefined } & Ids)
  | { type: 'ApproveOrder'; orderId: string }
  | { type: 'RejectOrder'; orderId: string; reason: CreditRefusal }
  | { type: 'PayOrder'; orderId: string; paymentReference: string }
  | { type: 'ShipOrder'; orderId: string; carrier?: string; trackingNumber?: string }
  | { type: 'DeliverOrder'; orderId: string }
  | { type: 'CancelOrder'; orderId: string; reason: string };

export type OrderEvent =
  | ({ type: 'OrderPlaced' } & Placement & At)
  | ({ type: 'OrderApproved' } & Ids & At)
  | ({ type: 'OrderRejected'; reason: CreditRefusal; totalMinor: number } & Ids & At)
  | ({ type: 'OrderPaid'; paymentReference: string; totalMinor: number } & Ids & At)
  | ({ type: 'OrderShipped'; carrier?: string; trackingNumber?: string } & Ids & At)
  | ({ type: 'OrderDelivered' } & Ids & At)
  | ({ type: 'OrderCancelled'; reason: string; totalMinor: number } & Ids & At);

export type OrderStatus = 'placed' | 'approved' | 'rejected' | 'shipped' | 'delivered' | 'cancelled';

export type Order =
  | { status: 'unknown' }
  | { status: OrderStatus; ids: Ids; totalMinor: number; paymentReference?: string };

export const order: Decider<OrderCommand, Order, OrderEvent> = {
  initial: { status: 'unknown' },

  decide(command, state, now) {
    const at = now.toISOString();
    if (command.type === 'PlaceOrder') {
      if (state.status !== 'unknown') throw new Rejection('order.exists', { orderId: command.orderId });
      return [place(command, at)];
    }
    if (state.status === 'unknown') throw new Rejection('order.unknown', { orderId: command.orderId });
    const { ids, totalMinor } = state;
    switch (command.type) {
      // The first decision stands: an order that was cancelled or decided in the meantime stays as it is.
      case 'ApproveOrder':
        return state.status === 'placed' ? [{ type: 'OrderApproved', ...ids, at }] : [];
      case 'RejectOrder':
        return state.status === 'placed' ? [{ type: 'OrderRejected', ...ids, reason: command.reason, totalMinor, at }] : [];
      case 'PayOrder':
        if (state.paymentReference === command.paymentReference) return [];
        if (state.paymentReference !== undefined) throw new Rejection('order.already-paid', { orderId: ids.orderId });
        refuse(state, 'placed', 'rejected', 'cancelled');
        return [{ type: 'OrderPaid', ...ids, paymentReference: command.paymentReference, totalMinor, at }];
      case 'ShipOrder': {
        if (state.status === 'shipped' || state.status === 'delivered') return [];
        refuse(state, 'placed', 'rejected', 'cancelled');
        const { type: _type, orderId: _orderId, ...shipment } = command;
        return [{ type: 'OrderShipped', ...ids, ...shipment, at }];
      }
      case 'DeliverOrder':
        if (state.status === 'delivered') return [];
        refuse(state, 'placed', 'approved', 'rejected', 'cancelled');
        return [{ type: 'OrderDelivered', ...ids, at }];
      case 'CancelOrder':
        if (state.status === 'cancelled') return [];
        refuse(state, 'rejected', 'shipped', 'delivered');
        return [{ type: 'OrderCancelled', ...ids, reason: command.reason, totalMinor, at }];
    }
  },

  evolve(state, event) {
    const { orderId, customerId } = event;
    if (event.type === 'OrderPlaced') return { status: 'placed', ids: { orderId, customerId }, totalMinor: event.totalMinor };
    if (state.status === 'unknown') return state;
    switch (event.type) {
      case 'OrderApproved': return { ...state, status: 'approved' };
      case 'OrderRejected': return { ...state, status: 'rejected' };
      case 'OrderPaid': return { ...state, paymentReference: event.paymentReference };
      case 'OrderShipped': return { ...state, status: 'shipped' };
      case 'OrderDelivered': return { ...state, status: 'delivered' };
      case 'OrderCancelled': return { ...state, status: 'cancelled' };
    }
  },
};

const whyNot = {
  placed: 'order.not-approved',
  approved: 'order.not-shipped',
  rejected: 'order.rejected',
  shipped: 'order.already-shipped',
  delivered: 'order.already-shipped',
  cancelled: 'order.cancelled',
} as const;

function refuse(state: { status: OrderStatus; ids: Ids }, ...statuses: OrderStatus[]): void {
  if (statuses.includes(state.status)) throw new Rejection(whyNot[state.status], { orderId: state.ids.orderId, status: state.status });
}

function place(command: Extract<OrderCommand, { type: 'PlaceOrder' }>, at: string): OrderEvent {
  const { orderId, customerId, currency, lines, shippingMinor = 0, customer } = command;
  if (customer === undefined) throw new Rejection('customer.unknown', { customerId });
  if (customer.status !== 'active') throw new Rejection(`customer.${customer.status}`, { customerId });
  assertCurrency(currency);
  if (customer.currency !== currency) throw new Rejection('order.currency-differs', { currency, customerCurrency: customer.currency });
  if (lines.length === 0) throw new Rejection('order.empty', { orderId });
  const subtotalMinor = sum(lines.map(lineTotal));
  const totalMinor = sum([subtotalMinor, shippingMinor]);
  return { type: 'OrderPlaced', orderId, customerId, customerName: customer.name, currency, lines, shippingMinor, subtotalMinor, totalMinor, at };
}

/** Minor units of one line after its discount. */
export function lineTotal(line: Line): number {
  const gross = amount(amount(line.quantity) * amount(line.unitPriceMinor));
  const discount = amount(line.discountMinor ?? 0);
  if (discount > gross) throw new Rejection('order.discount-too-large', { sku: line.sku, discountMinor: discount, lineMinor: gross });
  return gross - discount;
}
