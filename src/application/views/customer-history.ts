import { applyDetails, type CustomerDetails } from '../../domain/customers/customer.js';
import type { OrderStatus } from '../../domain/orders/order.js';
import { view } from './declaration.js';

interface Profile extends CustomerDetails {
  currency: string;
  status: 'active' | 'suspended' | 'closed';
  creditLimitMinor: number | null;
  registeredAt: string;
}

interface LatestOrder {
  orderId: string;
  placedAt: string;
  status: OrderStatus;
  paid: boolean;
  totalMinor: number;
}

export interface CustomerHistory {
  customerId: string;
  /** From the customers' events; `null` until they have come. */
  profile: Profile | null;
  /** How many orders ever got so far. */
  orders: Record<'placed' | 'approved' | 'rejected' | 'paid' | 'shipped' | 'delivered' | 'cancelled', number>;
  /** Totals of the orders that were neither rejected nor cancelled, and of those that were paid, in minor units. */
  spentMinor: number;
  paidMinor: number;
  firstOrderAt: string | null;
  lastOrderAt: string | null;
  /** Newest first, ten at the most. */
  latestOrders: readonly LatestOrder[];
}

const latest = 10;

/** Both contexts in one document. What comes from one is kept apart from what comes from the other: their events arrive in any order. */
export const customerHistory = view<CustomerHistory>()({
  name: 'customer-history',
  revision: 1,
  key: 'customerId',
  contexts: ['customers', 'orders'],
  servedBy: 'customers',
  home: 'views',
  fields: { customerId: { kind: 'keyword' } },
  searched: [],
  sortable: ['customerId'],
  on: {
    CustomerRegistered: (history, { customerId, type: _type, at, ...details }) =>
      ({ ...(history ?? nothingYet(customerId)), profile: { ...details, status: 'active', registeredAt: at } }),
    CustomerDetailsChanged: (history, event) => withProfile(history, (profile) => applyDetails(profile, event)),
    CreditLimitSet: (history, { creditLimitMinor }) => withProfile(history, (profile) => ({ ...profile, creditLimitMinor })),
    CustomerSuspended: (history) => withProfile(history, (profile) => ({ ...profile, status: 'suspended' })),
    CustomerReactivated: (history) => withProfile(history, (profile) => ({ ...profile, status: 'active' })),
    CustomerClosed: (history) => withProfile(history, (profile) => ({ ...profile, status: 'closed' })),

    OrderPlaced(history, { customerId, orderId, totalMinor, at }) {
      const before = history ?? nothingYet(customerId);
      const order: LatestOrder = { orderId, placedAt: at, status: 'placed', paid: false, totalMinor };
      return {
        ...count(before, 'placed'),
        spentMinor: before.spentMinor + totalMinor,
        firstOrderAt: before.firstOrderAt === null || at < before.firstOrderAt ? at : before.firstOrderAt,
        lastOrderAt: before.lastOrderAt === null || at > before.lastOrderAt ? at : before.lastOrderAt,
        latestOrders: [...before.latestOrders, order].sort(newestFirst).slice(0, latest),
      };
    },
    OrderApproved: (history, { orderId }) => history && reached(count(history, 'approved'), orderId, { status: 'approved' }),
    OrderRejected: (history, { orderId, totalMinor }) =>
      history && reached({ ...count(history, 'rejected'), spentMinor: history.spentMinor - totalMinor }, orderId, { status: 'rejected' }),
    OrderPaid: (history, { orderId, totalMinor }) =>
      history && reached({ ...count(history, 'paid'), paidMinor: history.paidMinor + totalMinor }, orderId, { paid: true }),
    OrderShipped: (history, { orderId }) => history && reached(count(history, 'shipped'), orderId, { status: 'shipped' }),
    OrderDelivered: (history, { orderId }) => history && reached(count(history, 'delivered'), orderId, { status: 'delivered' }),
    OrderCancelled: (history, { orderId, totalMinor }) =>
      history && reached({ ...count(history, 'cancelled'), spentMinor: history.spentMinor - totalMinor }, orderId, { status: 'cancelled' }),
  },
});

function nothingYet(customerId: string): CustomerHistory {
  return {
    customerId,
    profile: null,
    orders: { placed: 0, approved: 0, rejected: 0, paid: 0, shipped: 0, delivered: 0, cancelled: 0 },
    spentMinor: 0,
    paidMinor: 0,
    firstOrderAt: null,
    lastOrderAt: null,
    latestOrders: [],
  };
}

function withProfile(history: CustomerHistory | undefined, change: (profile: Profile) => Profile): CustomerHistory | undefined {
  return history?.profile ? { ...history, profile: change(history.profile) } : history;
}

function count(history: CustomerHistory, milestone: keyof CustomerHistory['orders']): CustomerHistory {
  return { ...history, orders: { ...history.orders, [milestone]: history.orders[milestone] + 1 } };
}

function reached(history: CustomerHistory, orderId: string, change: Partial<LatestOrder>): CustomerHistory {
  return { ...history, latestOrders: history.latestOrders.map((order) => (order.orderId === orderId ? { ...order, ...change } : order)) };
}

function newestFirst(a: LatestOrder, b: LatestOrder): number {
  if (a.placedAt !== b.placedAt) return a.placedAt < b.placedAt ? 1 : -1;
  return a.orderId < b.orderId ? 1 : -1;
}
