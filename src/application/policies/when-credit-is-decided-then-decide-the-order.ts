import type { OrderCommandRequest } from '../orders/order-commands.js';
import type { Policy } from './policy.js';

export const decideOrder: Policy<'customers', OrderCommandRequest> = {
  name: 'decide-order',
  from: 'customers',
  to: 'orders',
  target: (event) => ('orderId' in event ? event.orderId : event.customerId),
  on: {
    CreditReserved: ({ orderId }) => ({ type: 'ApproveOrder', orderId }),
    CreditRefused: ({ orderId, reason }) => ({ type: 'RejectOrder', orderId, reason }),
  },
};
