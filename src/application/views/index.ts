import { customerHistory } from './customer-history.js';
import { customers } from './customers.js';
import { orderCustomers } from './order-customers.js';
import { orders } from './orders.js';

/** Every view there is. */
export const views = { orders, customers, customerHistory, orderCustomers };
export type ViewName = keyof typeof views;

export { customerHistory, customers, orderCustomers, orders };
export type { CustomerHistory } from './customer-history.js';
export type { CustomerDocument } from './customers.js';
export type { OrderCustomer } from './order-customers.js';
export type { OrderDocument } from './orders.js';
