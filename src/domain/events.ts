import type { CustomerEvent } from './customers/customer.js';
import type { OrderEvent } from './orders/order.js';

/** A bounded context: its own log, its own topic, no access to the other's tables. */
export const contexts = ['customers', 'orders'] as const;
export type Context = (typeof contexts)[number];

/** Every event in the system, by the context whose log holds it. */
export interface EventsOf {
  customers: CustomerEvent;
  orders: OrderEvent;
}

export type DomainEvent = EventsOf[Context];
export type EventType = DomainEvent['type'];
export type EventOfType<T extends EventType> = Extract<DomainEvent, { type: T }>;

/** The context of each event type. A new event that is missing here does not compile. */
export const contextOf = {
  CustomerRegistered: 'customers',
  CustomerDetailsChanged: 'customers',
  CreditLimitSet: 'customers',
  CustomerSuspended: 'customers',
  CustomerReactivated: 'customers',
  CustomerClosed: 'customers',
  CreditReserved: 'customers',
  CreditRefused: 'customers',
  CreditReleased: 'customers',
  OrderPlaced: 'orders',
  OrderApproved: 'orders',
  OrderRejected: 'orders',
  OrderPaid: 'orders',
  OrderShipped: 'orders',
  OrderDelivered: 'orders',
  OrderCancelled: 'orders',
} as const satisfies { [T in EventType]: EventOfType<T> extends CustomerEvent ? 'customers' : 'orders' };
