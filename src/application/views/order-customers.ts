import type { OrderingCustomer } from '../../domain/orders/order.js';
import { view } from './declaration.js';

export interface OrderCustomer {
  customerId: string;
  name: string;
  status: OrderingCustomer['status'];
  /** `null` until the registration has come: nobody can order before that. */
  currency: string | null;
  /** Versions of the customer's stream that the name and the status are from. */
  nameVersion: number;
  statusVersion: number;
}

/**
 * The orders service's own copy of the customers: what it needs to take an order, and nothing more. Events of one customer come in order, unless the
 * topic was made anew with other partitions. So the versions are kept: an earlier event never overwrites a later name or status.
 */
export const orderCustomers = view<OrderCustomer>()({
  name: 'order-customers',
  revision: 2,
  key: 'customerId',
  contexts: ['customers'],
  servedBy: 'orders',
  home: 'orders',
  fields: { customerId: { kind: 'keyword' } },
  searched: [],
  sortable: ['customerId'],
  begins: 'CustomerRegistered',
  on: {
    CustomerRegistered: (before, { customerId, name, currency }, { version }) =>
      withStatus(withName({ ...(before ?? unregistered(customerId)), currency }, name, version), 'active', version),
    CustomerDetailsChanged: (before, { customerId, name }, { version }) =>
      (name === undefined ? before : withName(before ?? unregistered(customerId), name, version)),
    CustomerSuspended: (before, { customerId }, { version }) => withStatus(before ?? unregistered(customerId), 'suspended', version),
    CustomerReactivated: (before, { customerId }, { version }) => withStatus(before ?? unregistered(customerId), 'active', version),
    CustomerClosed: (before, { customerId }, { version }) => withStatus(before ?? unregistered(customerId), 'closed', version),
  },
});

function unregistered(customerId: string): OrderCustomer {
  return { customerId, name: '', status: 'active', currency: null, nameVersion: 0, statusVersion: 0 };
}

function withName(customer: OrderCustomer, name: string, version: number): OrderCustomer {
  return version < customer.nameVersion ? customer : { ...customer, name, nameVersion: version };
}

function withStatus(customer: OrderCustomer, status: OrderCustomer['status'], version: number): OrderCustomer {
  return version < customer.statusVersion ? customer : { ...customer, status, statusVersion: version };
}
