import type { OrderingCustomer } from '../../domain/orders/order.js';
import { view } from './projection.js';

export interface OrderCustomer extends OrderingCustomer {
  customerId: string;
}

/** The orders service's own copy of the customers: what it needs to take an order, and nothing more. */
export const orderCustomers = view<OrderCustomer>()({
  name: 'order-customers',
  revision: 1,
  key: 'customerId',
  contexts: ['customers'],
  home: 'orders',
  fields: { customerId: { kind: 'keyword' } },
  searched: [],
  sortable: ['customerId'],
  begins: 'CustomerRegistered',
  on: {
    CustomerRegistered: (_, { customerId, name, currency }) => ({ customerId, name, currency, status: 'active' }),
    CustomerDetailsChanged: (customer, { name }) => customer && (name === undefined ? customer : { ...customer, name }),
    CustomerSuspended: (customer) => customer && { ...customer, status: 'suspended' },
    CustomerReactivated: (customer) => customer && { ...customer, status: 'active' },
    CustomerClosed: (customer) => customer && { ...customer, status: 'closed' },
  },
});
