import type { Line, OrderStatus } from '../../domain/orders/order.js';
import { view } from './declaration.js';

export interface OrderDocument {
  orderId: string;
  customerId: string;
  customerName: string;
  status: OrderStatus;
  paid: boolean;
  currency: string;
  lines: readonly Line[];
  shippingMinor: number;
  subtotalMinor: number;
  totalMinor: number;
  /** Version of the order's stream. */
  version: number;
  placedAt: string;
  approvedAt?: string;
  rejectedAt?: string;
  paidAt?: string;
  shippedAt?: string;
  deliveredAt?: string;
  cancelledAt?: string;
  /** Why it was rejected or cancelled. */
  reason?: string;
  paymentReference?: string;
  carrier?: string;
  trackingNumber?: string;
}

export const orders = view<OrderDocument>()({
  name: 'orders',
  revision: 1,
  key: 'orderId',
  contexts: ['orders'],
  servedBy: 'orders',
  home: 'views',
  fields: {
    orderId: { kind: 'keyword' },
    customerId: { kind: 'keyword', lookup: true },
    customerName: { kind: 'text' },
    status: { kind: 'keyword', lookup: true },
    paid: { kind: 'boolean' },
    currency: { kind: 'keyword' },
    totalMinor: { kind: 'long' },
    placedAt: { kind: 'date' },
    lines: { kind: 'nested', fields: { sku: { kind: 'keyword' }, name: { kind: 'text' } } },
  },
  searched: ['orderId', 'customerId', 'customerName', 'lines.sku', 'lines.name'],
  sortable: ['placedAt', 'totalMinor'],
  begins: 'OrderPlaced',
  on: {
    OrderPlaced: (_, { type: _type, at, ...order }, { version }) => ({ ...order, status: 'placed', paid: false, placedAt: at, version }),
    OrderApproved: (order, { at }, { version }) => order && { ...order, status: 'approved', approvedAt: at, version },
    OrderRejected: (order, { at, reason }, { version }) => order && { ...order, status: 'rejected', rejectedAt: at, reason, version },
    OrderPaid: (order, { at, paymentReference }, { version }) => order && { ...order, paid: true, paidAt: at, paymentReference, version },
    OrderShipped: (order, { at, carrier, trackingNumber }, { version }) => order && {
      ...order, status: 'shipped', shippedAt: at, version, ...(carrier !== undefined && { carrier }), ...(trackingNumber !== undefined && { trackingNumber }),
    },
    OrderDelivered: (order, { at }, { version }) => order && { ...order, status: 'delivered', deliveredAt: at, version },
    OrderCancelled: (order, { at, reason }, { version }) => order && { ...order, status: 'cancelled', cancelledAt: at, reason, version },
  },
});
