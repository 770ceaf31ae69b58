import type { Caller } from '../queries/caller.js';
import type { Seen } from '../ports/command-queue.js';
import type { EventStore } from '../ports/event-store.js';
import type { Condition, ViewPage, ViewStore } from '../ports/view-store.js';
import { customerHistory, customers, type CustomerDocument, type CustomerHistory } from '../views/index.js';
import { createStreamQueries, type StreamQueries } from '../queries/streams.js';
import { foldWords } from '../views/text.js';
import { createViewQueries, type Folded, type ListOptions, type ViewQueries } from '../queries/lists.js';
import { customers as aggregate } from './customer-commands.js';

export interface CustomerFilter {
  status?: readonly CustomerDocument['status'][];
  country?: readonly string[];
  /** Every word must occur in the customer's text, the last one as a prefix. */
  q?: string;
}

export interface CustomerQueries extends Pick<ViewQueries<CustomerDocument>, 'one'>, StreamQueries<CustomerDocument> {
  list(filter: CustomerFilter, options: ListOptions, caller: Caller, seen?: Seen): Promise<ViewPage<CustomerDocument>>;
  /** The customer with everything they did, from both contexts. */
  withOrders(customerId: string, caller: Caller, seen?: Seen): Promise<Folded<CustomerHistory>>;
}

export function createCustomerQueries(
  { store, view, histories }: { store: EventStore<'customers'>; view: ViewStore<CustomerDocument>; histories: ViewStore<CustomerHistory> },
): CustomerQueries {
  const { list, one } = createViewQueries(customers, view, 'customer.unknown');
  return {
    one,
    withOrders: createViewQueries(customerHistory, histories, 'customer.unknown').one,
    ...createStreamQueries({ view: customers, store, stream: aggregate.stream, unknown: 'customer.unknown' }),
    list({ status, country, q }, options, caller, seen) {
      const where: Condition[] = [];
      if (status !== undefined) where.push({ field: 'status', in: status });
      if (country !== undefined) where.push({ field: 'address.country', in: country });
      return list({ where, ...(q !== undefined && { words: foldWords(q) }), ...options }, caller, seen);
    },
  };
}
