import { customer, type Customer, type CustomerCommand } from '../../domain/customers/customer.js';
import { PersistentMap } from '../../domain/shared/persistent-map.js';
import type { Aggregate } from '../commands/aggregate.js';
import type { CommandOutcome, Execute, Request } from '../commands/execute.js';

export const customers: Aggregate<'customers', CustomerCommand, Customer> = {
  context: 'customers',
  decider: customer,
  stream: (customerId) => `customer-${customerId}`,
  revision: 1,
  snapshot: {
    write: (state) => (state.status === 'unknown' ? state : { ...withoutTotal(state), reserved: Object.fromEntries(state.reserved) }),
    read: (kept) => {
      const state = kept as { status: 'unknown' } | Kept;
      if (state.status === 'unknown') return state;
      const reserved = Object.entries(state.reserved);
      return { ...state, reserved: PersistentMap.of(reserved), heldMinor: reserved.reduce((total, [, minor]) => total + BigInt(minor), 0n) };
    },
    entries: (state) => (state.status === 'unknown' ? 0 : state.reserved.size),
  },
  customerOf: (state) => (state.status === 'unknown' ? undefined : state.customerId),
  // A closed customer gives the address back.
  uniqueKeys: (state) =>
    state.status === 'unknown' || state.status === 'closed' || state.email === undefined
      ? []
      : [{ scope: 'customer-email', key: state.email.normalize('NFC').toLowerCase() }],
  begins: (command) => command.type === 'RegisterCustomer',
  refusals: { unknown: 'customer.unknown', taken: 'customer.email-taken' },
};

type Known = Exclude<Customer, { status: 'unknown' }>;
/** As the first snapshots were: versions of the software that differ in how they hold reservations read each other's. */
type Kept = Omit<Known, 'reserved' | 'heldMinor'> & { reserved: Record<string, number> };

function withoutTotal({ heldMinor: _sum, ...state }: Known): Omit<Known, 'heldMinor'> {
  return state;
}

export type CustomerCommands = (command: CustomerCommand, request: Request) => Promise<CommandOutcome>;

export function createCustomerCommands(execute: Execute): CustomerCommands {
  return (command, request) => execute(customers, command.customerId, command, request);
}
