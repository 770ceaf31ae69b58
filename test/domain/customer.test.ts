import { expect } from 'chai';
import { customer, type CustomerCommand, type CustomerEvent } from '../../src/domain/customers/customer.js';
import { at, given } from '../support/given.js';

const customerId = 'ada';
const address = { street: '1 High Street', city: 'London', country: 'UK' };
const registered: CustomerEvent = { type: 'CustomerRegistered', customerId, name: 'Ada', contactName: 'A. L.', email: 'ada@example.com', address, currency: 'EUR', creditLimitMinor: 1_000, at };
const unlimited: CustomerEvent = { type: 'CustomerRegistered', customerId, name: 'Ada', currency: 'EUR', creditLimitMinor: null, at };
const suspended: CustomerEvent = { type: 'CustomerSuspended', customerId, reason: 'late', at };
const closed: CustomerEvent = { type: 'CustomerClosed', customerId, reason: 'moved', at };
const reserved: CustomerEvent = { type: 'CreditReserved', customerId, orderId: 'o-1', amountMinor: 600, at };
const released: CustomerEvent = { type: 'CreditReleased', customerId, orderId: 'o-1', amountMinor: 600, at };
const refused: CustomerEvent = { type: 'CreditRefused', customerId, orderId: 'o-9', amountMinor: 1, reason: 'customer.unknown', at };

describe('a customer', () => {
  describe('RegisterCustomer', () => {
    const command: CustomerCommand = { type: 'RegisterCustomer', customerId, name: 'Ada', currency: 'EUR', creditLimitMinor: 1_000 };
    it('registers', () => { given(customer).events().when(command).then({ type: 'CustomerRegistered', customerId, name: 'Ada', currency: 'EUR', creditLimitMinor: 1_000, at }); });
    it('registers one whose credit was refused before', () => { given(customer).events(refused).when(command).then({ ...command, type: 'CustomerRegistered', at }); });
    it('is refused for one that exists', () => { given(customer).events(registered).when(command).refuses('customer.exists'); });
    it('is refused for one that is closed', () => { given(customer).events(registered, closed).when(command).refuses('customer.exists'); });
    it('is refused in a currency that does not exist', () => { given(customer).events().when({ ...command, currency: 'XQX' }).refuses('money.unknown-currency'); });
    it('is refused with a limit that is no amount', () => { given(customer).events().when({ ...command, creditLimitMinor: 2 ** 53 }).refuses('money.out-of-range'); });
  });

  describe('ChangeCustomerDetails', () => {
    const change = (fields: object): CustomerCommand => ({ type: 'ChangeCustomerDetails', customerId, ...fields });
    it('changes what differs, and only that', () => {
      given(customer).events(registered).when(change({ name: 'Ada L.', email: 'ada@example.com', contactName: 'A. Lovelace', address: { city: 'Paris' } }))
        .then({ type: 'CustomerDetailsChanged', customerId, name: 'Ada L.', contactName: 'A. Lovelace', address: { city: 'Paris' }, at });
    });
    it('clears with null', () => {
      given(customer).events(registered).when(change({ contactName: null, email: null, address: null }))
        .then({ type: 'CustomerDetailsChanged', customerId, contactName: null, email: null, address: null, at });
    });
    it('gives what was not there', () => {
      given(customer).events(unlimited).when(change({ email: 'a@example.com', contactName: 'A', address })).then({ type: 'CustomerDetailsChanged', customerId, contactName: 'A', email: 'a@example.com', address, at });
    });
    it('is quiet when it is so already', () => { given(customer).events(registered).when(change({ name: 'Ada', contactName: 'A. L.', email: 'ada@example.com', address: { ...address } })).then(); });
    it('is quiet when nothing is there to be cleared', () => { given(customer).events(unlimited).when(change({ email: null, contactName: null, address: null })).then(); });
    it('is quiet after the same change', () => {
      given(customer).events(registered, { type: 'CustomerDetailsChanged', customerId, name: 'B', contactName: null, email: null, address: null, at }).when(change({ name: 'B', email: null, contactName: null, address: null })).then();
    });
    it('is quiet after a change to other values', () => {
      given(customer).events(registered, { type: 'CustomerDetailsChanged', customerId, contactName: 'C', email: 'c@example.com', address: {}, at }).when(change({ contactName: 'C', email: 'c@example.com', address: {} })).then();
    });
    it('may be done while suspended', () => { given(customer).events(registered, suspended).when(change({ name: 'B' })).then({ type: 'CustomerDetailsChanged', customerId, name: 'B', at }); });
    it('is refused for an unknown one', () => { given(customer).events().when(change({ name: 'B' })).refuses('customer.unknown'); });
    it('is refused for a closed one', () => { given(customer).events(registered, closed).when(change({ name: 'B' })).refuses('customer.closed'); });
  });

  describe('SetCreditLimit', () => {
    const set = (creditLimitMinor: number | null): CustomerCommand => ({ type: 'SetCreditLimit', customerId, creditLimitMinor });
    it('sets', () => { given(customer).events(registered).when(set(5)).then({ type: 'CreditLimitSet', customerId, creditLimitMinor: 5, at }); });
    it('lifts', () => { given(customer).events(registered).when(set(null)).then({ type: 'CreditLimitSet', customerId, creditLimitMinor: null, at }); });
    it('is quiet when it is so already', () => { given(customer).events(registered, { type: 'CreditLimitSet', customerId, creditLimitMinor: 7, at }).when(set(7)).then(); });
    it('is refused with what is no amount', () => { given(customer).events(registered).when(set(-1)).refuses('money.out-of-range'); });
    it('is refused for an unknown one', () => { given(customer).events().when(set(1)).refuses('customer.unknown'); });
    it('is refused for a closed one', () => { given(customer).events(registered, closed).when(set(1)).refuses('customer.closed'); });
  });

  describe('SuspendCustomer and ReactivateCustomer', () => {
    const suspend: CustomerCommand = { type: 'SuspendCustomer', customerId, reason: 'late' };
    const reactivate: CustomerCommand = { type: 'ReactivateCustomer', customerId };
    it('suspends', () => { given(customer).events(registered).when(suspend).then(suspended); });
    it('is quiet when suspended already', () => { given(customer).events(registered, suspended).when(suspend).then(); });
    it('reactivates', () => { given(customer).events(registered, suspended).when(reactivate).then({ type: 'CustomerReactivated', customerId, at }); });
    it('is quiet when active already', () => { given(customer).events(registered).when(reactivate).then(); });
    it('is quiet when active again', () => { given(customer).events(registered, suspended, { type: 'CustomerReactivated', customerId, at }).when(reactivate).then(); });
    for (const command of [suspend, reactivate]) {
      it(`${command.type} is refused for an unknown one`, () => { given(customer).events().when(command).refuses('customer.unknown'); });
      it(`${command.type} is refused for a closed one`, () => { given(customer).events(registered, closed).when(command).refuses('customer.closed'); });
    }
  });

  describe('CloseCustomer', () => {
    const close: CustomerCommand = { type: 'CloseCustomer', customerId, reason: 'moved' };
    it('closes', () => { given(customer).events(registered).when(close).then(closed); });
    it('closes when its orders are settled', () => { given(customer).events(registered, reserved, released).when(close).then(closed); });
    it('is quiet when closed already', () => { given(customer).events(registered, closed).when(close).then(); });
    it('is refused while orders are open', () => { given(customer).events(registered, reserved).when(close).refuses('customer.has-open-orders'); });
    it('is refused for an unknown one', () => { given(customer).events().when(close).refuses('customer.unknown'); });
  });

  describe('ReserveCredit', () => {
    const reserve = (amountMinor: number, orderId = 'o-2'): CustomerCommand => ({ type: 'ReserveCredit', customerId, orderId, amountMinor });
    const no = (amountMinor: number, reason: 'customer.unknown' | 'customer.suspended' | 'customer.closed' | 'credit.limit-exceeded'): CustomerEvent =>
      ({ type: 'CreditRefused', customerId, orderId: 'o-2', amountMinor, reason, at });
    it('reserves up to the limit', () => { given(customer).events(registered, reserved).when(reserve(400)).then({ type: 'CreditReserved', customerId, orderId: 'o-2', amountMinor: 400, at }); });
    it('says no above the limit', () => { given(customer).events(registered, reserved).when(reserve(401)).then(no(401, 'credit.limit-exceeded')); });
    it('counts only what is still held', () => { given(customer).events(registered, reserved, released).when(reserve(1_000)).then({ type: 'CreditReserved', customerId, orderId: 'o-2', amountMinor: 1_000, at }); });
    it('counts exactly what is held beyond the safe integers', () => {
      const most = Number.MAX_SAFE_INTEGER;
      const hold = (orderId: string, amountMinor: number): CustomerEvent => ({ ...reserved, orderId, amountMinor });
      const release = (orderId: string, amountMinor: number): CustomerEvent => ({ ...hold(orderId, amountMinor), type: 'CreditReleased' } as CustomerEvent);
      const limited: CustomerEvent = { type: 'CreditLimitSet', customerId, creditLimitMinor: 10, at };
      const beyond = [unlimited, hold('o-8', most), hold('o-9', most), hold('o-1', 7), release('o-8', most), release('o-9', most), limited];
      given(customer).events(...beyond).when(reserve(4)).then(no(4, 'credit.limit-exceeded'));
      given(customer).events(...beyond).when(reserve(3)).then({ type: 'CreditReserved', customerId, orderId: 'o-2', amountMinor: 3, at });
    });
    it('costs no more with very many open orders', function () {
      this.timeout(30_000);
      const open = Array.from({ length: 100_000 }, (_, n): CustomerEvent => ({ ...reserved, orderId: `o-${n}`, amountMinor: 1 }));
      const state = [unlimited, ...open].reduce((folded, event) => customer.evolve(folded, event), customer.initial);
      expect(state).to.have.nested.property('reserved.size', 100_000);
      expect(state).to.have.property('heldMinor', 100_000n);
      expect(customer.decide(reserve(1, 'o-99999'), state, new Date(at))).to.deep.equal([]);
    });
    it('knows no limit when there is none', () => { given(customer).events(unlimited).when(reserve(10 ** 12)).then({ type: 'CreditReserved', customerId, orderId: 'o-2', amountMinor: 10 ** 12, at }); });
    it('is quiet when the order has its credit', () => { given(customer).events(registered, reserved).when(reserve(600, 'o-1')).then(); });
    it('takes any identifier for an order', () => { given(customer).events(registered).when(reserve(1, 'constructor')).then({ type: 'CreditReserved', customerId, orderId: 'constructor', amountMinor: 1, at }); });
    it('says no to a suspended one', () => { given(customer).events(registered, suspended).when(reserve(1)).then(no(1, 'customer.suspended')); });
    it('says no to a closed one', () => { given(customer).events(registered, closed).when(reserve(1)).then(no(1, 'customer.closed')); });
    it('says no to an unknown one, instead of refusing', () => { given(customer).events().when(reserve(1)).then(no(1, 'customer.unknown')); });
  });

  describe('ReleaseCredit', () => {
    const release: CustomerCommand = { type: 'ReleaseCredit', customerId, orderId: 'o-1' };
    it('releases what was reserved', () => { given(customer).events(registered, reserved).when(release).then(released); });
    it('releases after the customer was suspended', () => { given(customer).events(registered, reserved, suspended).when(release).then(released); });
    it('is quiet when nothing is held', () => { given(customer).events(registered, refused).when(release).then(); });
    it('is quiet the second time', () => { given(customer).events(registered, reserved, released).when(release).then(); });
    it('is refused for an unknown one', () => { given(customer).events().when(release).refuses('customer.unknown'); });
  });
});
