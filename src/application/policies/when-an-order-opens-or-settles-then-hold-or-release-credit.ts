import type { CustomerCommand } from '../../domain/customers/customer.js';
import type { Policy } from './policy.js';

/** One policy, not two: the release of an order's credit must never overtake its reservation. */
export const holdOrReleaseCredit: Policy<'orders', CustomerCommand> = {
  name: 'hold-or-release-credit',
  from: 'orders',
  to: 'customers',
  target: ({ customerId }) => customerId,
  on: {
    OrderPlaced: ({ customerId, orderId, totalMinor }) => ({ type: 'ReserveCredit', customerId, orderId, amountMinor: totalMinor }),
    OrderPaid: ({ customerId, orderId }) => ({ type: 'ReleaseCredit', customerId, orderId }),
    OrderCancelled: ({ customerId, orderId }) => ({ type: 'ReleaseCredit', customerId, orderId }),
  },
};
