import type { Decider } from '../shared/decider.js';
import { amount, assertCurrency } from '../shared/money.js';
import { PersistentMap } from '../shared/persistent-map.js';
import { Rejection } from '../shared/rejection.js';

export interface Address {
  street?: string;
  city?: string;
  region?: string;
  postalCode?: string;
  country?: string;
}

type Id = { customerId: string };
type At = { at: string };
type Hold = { orderId: string; amountMinor: number };

export type CreditRefusal = 'customer.unknown' | 'customer.suspended' | 'customer.closed' | 'credit.limit-exceeded';

export interface CustomerDetails {
  name: string;
  contactName?: string;
  email?: string;
  address?: Address;
}

interface Registration extends CustomerDetails, Id {
  currency: string;
  /** `null`: no limit. */
  creditLimitMinor: number | null;
}

export type CustomerCommand =
  | ({ type: 'RegisterCustomer' } & Registration)
  /** An absent field stays; `null` clears it. */
  | ({ type: 'ChangeCustomerDetails'; name?: string; contactName?: string | null; email?: string | null; address?: Address | null } & Id)
  | ({ type: 'SetCreditLimit'; creditLimitMinor: number | null } & Id)
  | ({ type: 'SuspendCustomer'; reason: string } & Id)
  | ({ type: 'ReactivateCustomer' } & Id)
  | ({ type: 'CloseCustomer'; reason: string } & Id)
  | ({ type: 'ReserveCredit' } & Hold & Id)
  | ({ type: 'ReleaseCredit'; orderId: string } & Id);

export type CustomerEvent =
  | ({ type: 'CustomerRegistered' } & Registration & At)
  | ({ type: 'CustomerDetailsChanged'; name?: string; contactName?: string | null; email?: string | null; address?: Address | null } & Id & At)
  | ({ type: 'CreditLimitSet'; creditLimitMinor: number | null } & Id & At)
  | ({ type: 'CustomerSuspended'; reason: string } & Id & At)
  | ({ type: 'CustomerReactivated' } & Id & At)
  | ({ type: 'CustomerClosed'; reason: string } & Id & At)
  | ({ type: 'CreditReserved' } & Hold & Id & At)
  | ({ type: 'CreditRefused'; reason: CreditRefusal } & Hold & Id & At)
  | ({ type: 'CreditReleased' } & Hold & Id & At);

interface Account extends Registration {
  /** What open orders hold, in minor units by order id. */
  reserved: PersistentMap<number>;
  /** The sum of `reserved`: exact, also beyond the safe integers. */
  heldMinor: bigint;
}

export type Customer = { status: 'unknown' } | ({ status: 'active' | 'suspended' | 'closed' } & Account);

export const customer: Decider<CustomerCommand, Customer, CustomerEvent> = {
  initial: { status: 'unknown' },

  decide(command, state, now) {
    const { customerId } = command;
    const at = now.toISOString();
    if (command.type === 'ReserveCredit') return reserve(command, state, at);
    if (command.type === 'RegisterCustomer') {
      if (state.status !== 'unknown') throw new Rejection('customer.exists', { customerId });
      assertCurrency(command.currency);
      if (command.creditLimitMinor !== null) amount(command.creditLimitMinor);
      return [{ ...command, type: 'CustomerRegistered', at }];
    }
    if (state.status === 'unknown') throw new Rejection('customer.unknown', { customerId });
    if (command.type === 'ReleaseCredit') {
      const held = state.reserved.get(command.orderId);
      return held === undefined ? [] : [{ type: 'CreditReleased', customerId, orderId: command.orderId, amountMinor: held, at }];
    }
    if (command.type === 'CloseCustomer') {
      if (state.status === 'closed') return [];
      const openOrders = state.reserved.size;
      if (openOrders > 0) throw new Rejection('customer.has-open-orders', { customerId, openOrders });
      return [{ type: 'CustomerClosed', customerId, reason: command.reason, at }];
    }
    if (state.status === 'closed') throw new Rejection('customer.closed', { customerId });
    switch (command.type) {
      case 'ChangeCustomerDetails': {
        const changes = differences(command, state);
        return Object.keys(changes).length === 0 ? [] : [{ type: 'CustomerDetailsChanged', customerId, ...changes, at }];
      }
      case 'SetCreditLimit': {
        const { creditLimitMinor } = command;
        if (creditLimitMinor !== null) amount(creditLimitMinor);
        return creditLimitMinor === state.creditLimitMinor ? [] : [{ type: 'CreditLimitSet', customerId, creditLimitMinor, at }];
      }
      case 'SuspendCustomer':
        return state.status === 'suspended' ? [] : [{ type: 'CustomerSuspended', customerId, reason: command.reason, at }];
      case 'ReactivateCustomer':
        return state.status === 'active' ? [] : [{ type: 'CustomerReactivated', customerId, at }];
    }
  },

  evolve(state, event) {
    if (event.type === 'CustomerRegistered') {
      const { type: _type, at: _at, ...account } = event;
      return { ...account, status: 'active', reserved: PersistentMap.of<number>(), heldMinor: 0n };
    }
    // A refusal can be the first event of a customer that this log has never seen.
    if (state.status === 'unknown') return state;
    switch (event.type) {
      case 'CustomerDetailsChanged': return applyDetails(state, event);
      case 'CreditLimitSet': return { ...state, creditLimitMinor: event.creditLimitMinor };
      case 'CustomerSuspended': return { ...state, status: 'suspended' };
      case 'CustomerReactivated': return { ...state, status: 'active' };
      case 'CustomerClosed': return { ...state, status: 'closed' };
      case 'CreditReserved': return holding(state, event.orderId, event.amountMinor);
      case 'CreditRefused': return state;
      case 'CreditReleased': return holding(state, event.orderId, undefined);
    }
  },
};

/** Never refuses: an order waits for the outcome, so "no" is a fact too. */
function reserve(command: { orderId: string; amountMinor: number } & Id, state: Customer, at: string): CustomerEvent[] {
  const { customerId, orderId, amountMinor } = command;
  const refused = (reason: CreditRefusal): CustomerEvent[] => [{ type: 'CreditRefused', customerId, orderId, amountMinor, reason, at }];
  if (state.status === 'unknown') return refused('customer.unknown');
  if (state.reserved.get(orderId) !== undefined) return [];
  if (state.status !== 'active') return refused(`customer.${state.status}`);
  if (state.creditLimitMinor !== null && state.heldMinor + BigInt(amountMinor) > BigInt(state.creditLimitMinor)) return refused('credit.limit-exceeded');
  return [{ type: 'CreditReserved', customerId, orderId, amountMinor, at }];
}

/**
 * The account with `amountMinor` held for one order, or with nothing held for it when that is `undefined`.
 * A customer may have very many open orders: none of the others is looked at.
 */
function holding<A extends Account>(account: A, orderId: string, amountMinor: number | undefined): A {
  const before = BigInt(account.reserved.get(orderId) ?? 0);
  return {
    ...account,
    reserved: amountMinor === undefined ? account.reserved.without(orderId) : account.reserved.with(orderId, amountMinor),
    heldMinor: account.heldMinor - before + BigInt(amountMinor ?? 0),
  };
}

type Changes = Pick<Extract<CustomerEvent, { type: 'CustomerDetailsChanged' }>, 'name' | 'contactName' | 'email' | 'address'>;

function differences(wanted: Changes, state: CustomerDetails): Changes {
  const changes: Changes = {};
  if (wanted.name !== undefined && wanted.name !== state.name) changes.name = wanted.name;
  if (wanted.contactName !== undefined && wanted.contactName !== (state.contactName ?? null)) changes.contactName = wanted.contactName;
  if (wanted.email !== undefined && wanted.email !== (state.email ?? null)) changes.email = wanted.email;
  if (wanted.address !== undefined && !sameAddress(wanted.address, state.address ?? null)) changes.address = wanted.address;
  return changes;
}

function sameAddress(a: Address | null, b: Address | null): boolean {
  if (a === null || b === null) return a === b;
  return a.street === b.street && a.city === b.city && a.region === b.region && a.postalCode === b.postalCode && a.country === b.country;
}

/** `details` with `changes` applied: an absent field stays, `null` removes it. */
export function applyDetails<D extends CustomerDetails>(details: D, changes: Changes): D {
  const next = { ...details };
  if (changes.name !== undefined) next.name = changes.name;
  if (changes.contactName === null) delete next.contactName;
  else if (changes.contactName !== undefined) next.contactName = changes.contactName;
  if (changes.email === null) delete next.email;
  else if (changes.email !== undefined) next.email = changes.email;
  if (changes.address === null) delete next.address;
  else if (changes.address !== undefined) next.address = changes.address;
  return next;
}
