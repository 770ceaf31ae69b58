import type { ViewStore, ViewStores } from '../../application/ports/view-store.js';
import {
  customerHistory, customers, orderCustomers, orders,
  type CustomerDocument, type CustomerHistory, type OrderCustomer, type OrderDocument,
} from '../../application/projections/index.js';

/** The stores of all views, open. */
export interface OpenViews {
  orders: ViewStore<OrderDocument>;
  customers: ViewStore<CustomerDocument>;
  customerHistory: ViewStore<CustomerHistory>;
  orderCustomers: ViewStore<OrderCustomer>;
}

export async function openViews(stores: ViewStores): Promise<OpenViews> {
  return {
    orders: await stores.open(orders),
    customers: await stores.open(customers),
    customerHistory: await stores.open(customerHistory),
    orderCustomers: await stores.open(orderCustomers),
  };
}
