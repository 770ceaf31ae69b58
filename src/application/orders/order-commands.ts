import { order, type Order, type OrderCommand, type OrderingCustomer } from '../../domain/orders/order.js';
import type { Aggregate } from '../commands/aggregate.js';
import type { Seen } from '../ports/command-queue.js';
import { waitFor } from '../views/wait-for.js';
import { gather } from '../concurrency/gather.js';
import type { CommandOutcome, Execute, Request } from '../commands/execute.js';
import type { ViewStore } from '../ports/view-store.js';
import { orderCustomers, type OrderCustomer } from '../views/index.js';

export const orders: Aggregate<'orders', OrderCommand, Order> = {
  context: 'orders',
  decider: order,
  stream: (orderId) => `order-${orderId}`,
  revision: 1,
  snapshot: { write: (state) => state, read: (kept) => kept as Order, entries: () => 1 },
  customerOf: (state) => (state.status === 'unknown' ? undefined : state.ids.customerId),
  uniqueKeys: () => [],
  begins: (command) => command.type === 'PlaceOrder',
  refusals: { unknown: 'order.unknown', taken: 'order.exists' },
};

type PlaceOrder = Extract<OrderCommand, { type: 'PlaceOrder' }>;

/** An order command as it is asked for: what `orders` knows of the customer is added here. */
export type OrderCommandRequest = Exclude<OrderCommand, PlaceOrder> | Omit<PlaceOrder, 'customer'>;

export type OrderCommands = (command: OrderCommandRequest, request: Request, seen?: Seen) => Promise<CommandOutcome>;

export function createOrderCommands(execute: Execute, copy: Pick<ViewStore<OrderCustomer>, 'read' | 'progress'>): OrderCommands {
  const customer = gather((ids) => copy.read(ids));
  return async (command, request, seen) => {
    if (command.type !== 'PlaceOrder') return execute(orders, command.orderId, command, request);
    if (seen !== undefined) await waitFor(orderCustomers, copy, seen.tokens, seen.waitMs);
    const known = await customer(command.customerId);
    return execute(orders, command.orderId, { ...command, customer: known && orderingCustomer(known.document) }, request);
  };
}

function orderingCustomer({ name, status, currency }: OrderCustomer): OrderingCustomer | undefined {
  return currency === null ? undefined : { name, status, currency };
}
