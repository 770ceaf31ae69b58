import { applyDetails, type CustomerDetails } from '../../domain/customers/customer.js';
import { view } from './declaration.js';

export interface CustomerDocument extends CustomerDetails {
  customerId: string;
  currency: string;
  status: 'active' | 'suspended' | 'closed';
  /** Why it was suspended or closed. */
  reason?: string;
  creditLimitMinor: number | null;
  /** What open orders hold of it, and how many they are. */
  reservedMinor: number;
  openOrders: number;
  /** Version of the customer's stream. */
  version: number;
  registeredAt: string;
}

export const customers = view<CustomerDocument>()({
  name: 'customers',
  revision: 1,
  key: 'customerId',
  contexts: ['customers'],
  servedBy: 'customers',
  home: 'views',
  fields: {
    customerId: { kind: 'keyword' },
    name: { kind: 'keyword' },
    contactName: { kind: 'text' },
    email: { kind: 'text' },
    status: { kind: 'keyword' },
    registeredAt: { kind: 'date' },
    'address.street': { kind: 'text' },
    'address.city': { kind: 'text' },
    'address.region': { kind: 'text' },
    'address.postalCode': { kind: 'text' },
    'address.country': { kind: 'keyword' },
  },
  searched: ['customerId', 'name', 'contactName', 'email', 'address.street', 'address.city', 'address.region', 'address.postalCode', 'address.country'],
  sortable: ['name', 'registeredAt'],
  begins: 'CustomerRegistered',
  on: {
    CustomerRegistered: (_, { type: _type, at, ...customer }, { version }) =>
      ({ ...customer, status: 'active', reservedMinor: 0, openOrders: 0, registeredAt: at, version }),
    CustomerDetailsChanged: (customer, event, { version }) => customer && { ...applyDetails(customer, event), version },
    CreditLimitSet: (customer, { creditLimitMinor }, { version }) => customer && { ...customer, creditLimitMinor, version },
    CustomerSuspended: (customer, { reason }, { version }) => customer && { ...customer, status: 'suspended', reason, version },
    CustomerReactivated: (customer, _, { version }) => {
      if (customer === undefined) return undefined;
      const { reason: _reason, ...rest } = customer;
      return { ...rest, status: 'active', version };
    },
    CustomerClosed: (customer, { reason }, { version }) => customer && { ...customer, status: 'closed', reason, version },
    CreditReserved: (customer, { amountMinor }, { version }) =>
      customer && { ...customer, reservedMinor: customer.reservedMinor + amountMinor, openOrders: customer.openOrders + 1, version },
    CreditRefused: (customer, _, { version }) => customer && { ...customer, version },
    CreditReleased: (customer, { amountMinor }, { version }) =>
      customer && { ...customer, reservedMinor: customer.reservedMinor - amountMinor, openOrders: customer.openOrders - 1, version },
  },
});
