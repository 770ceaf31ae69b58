import { customer, type Customer, type CustomerCommand } from '../../domain/customers/customer.js';
import type { Aggregate } from '../aggregate.js';
import type { CommandOutcome, Execute, Request } from '../execute.js';

export const customers: Aggregate<'customers', CustomerCommand, Customer> = {
  context: 'customers',
  decider: customer,
  stream: (customerId) => `customer-${customerId}`,
  revision: 1,
  customerOf: (state) => (state.status === 'unknown' ? undefined : state.customerId),
  // A closed customer gives the address back.
  uniqueKeys: (state) =>
    state.status === 'unknown' || state.status === 'closed' || state.email === undefined
      ? []
      : [{ scope: 'customer-email', key: state.email.normalize('NFC').toLowerCase() }],
  begins: (command) => command.type === 'RegisterCustomer',
  refusals: { unknown: 'customer.unknown', taken: 'customer.email-taken' },
};

export type CustomerCommands = (command: CustomerCommand, request: Request) => Promise<CommandOutcome>;

export function createCustomerCommands(execute: Execute): CustomerCommands {
  return (command, request) => execute(customers, command.customerId, command, request);
}
