import type { OrderStatus } from '../../domain/orders/order.js';
import type { Caller } from '../queries/caller.js';
import type { Seen } from '../ports/command-queue.js';
import { boundsOf, type Period } from '../queries/period.js';
import type { Clock } from '../ports/clock.js';
import type { EventStore } from '../ports/event-store.js';
import type { Condition, ViewPage, ViewStore } from '../ports/view-store.js';
import { orders, type OrderDocument } from '../views/index.js';
import { createStreamQueries, type StreamQueries } from '../queries/streams.js';
import { foldWords } from '../views/text.js';
import { createViewQueries, type ListOptions, type ViewQueries } from '../queries/lists.js';
import { orders as aggregate } from './order-commands.js';

/** Everything that is given must hold; several values of one field are alternatives. */
export interface OrderFilter {
  customerId?: readonly string[];
  status?: readonly OrderStatus[];
  paid?: boolean;
  currency?: readonly string[];
  /** Inclusive and exclusive, ISO 8601 in UTC. */
  placedFrom?: string;
  placedTo?: string;
  period?: Period;
  minTotalMinor?: number;
  maxTotalMinor?: number;
  sku?: readonly string[];
  /** Every word must occur in the order's text, the last one as a prefix. */
  q?: string;
}

export interface WaitingOrders {
  count: number;
  oldest: OrderDocument[];
}

export interface OrderQueries extends Pick<ViewQueries<OrderDocument>, 'one'>, StreamQueries<OrderDocument> {
  list(filter: OrderFilter, options: ListOptions, caller: Caller, seen?: Seen): Promise<ViewPage<OrderDocument>>;
  /** Orders that were placed before `instant` and still wait for their credit decision: the saga is stuck, or slow. */
  waitingSince(instant: Date, caller: Caller): Promise<WaitingOrders>;
}

export function createOrderQueries({ store, view, clock }: { store: EventStore<'orders'>; view: ViewStore<OrderDocument>; clock: Clock }): OrderQueries {
  const { list, one } = createViewQueries(orders, view, 'order.unknown');
  return {
    one,
    ...createStreamQueries({ view: orders, store, stream: aggregate.stream, unknown: 'order.unknown' }),
    list(filter, options, caller, seen) {
      const query = { where: conditions(filter, clock), ...(filter.q !== undefined && { words: foldWords(filter.q) }), ...options };
      return list(query, caller, seen);
    },
    async waitingSince(instant, caller) {
      const { items, total } = await list({
        where: [{ field: 'status', in: ['placed'] }, { field: 'placedAt', before: instant.toISOString() }],
        sort: { field: 'placedAt', descending: false },
        limit: 100,
        countUpTo: Infinity,
      }, caller);
      return { count: total ?? 0, oldest: items.map(({ document }) => document) };
    },
  };
}

function conditions(filter: OrderFilter, clock: Clock): Condition[] {
  const { customerId, status, paid, currency, placedFrom, placedTo, period, minTotalMinor, maxTotalMinor, sku } = filter;
  const where: Condition[] = [];
  if (customerId !== undefined) where.push({ field: 'customerId', in: customerId });
  if (status !== undefined) where.push({ field: 'status', in: status });
  if (paid !== undefined) where.push({ field: 'paid', in: [paid] });
  if (currency !== undefined) where.push({ field: 'currency', in: currency });
  if (sku !== undefined) where.push({ field: 'lines.sku', in: sku });
  if (placedFrom !== undefined) where.push({ field: 'placedAt', from: placedFrom });
  if (placedTo !== undefined) where.push({ field: 'placedAt', before: placedTo });
  if (period !== undefined) where.push({ field: 'placedAt', ...boundsOf(period, clock.now()) });
  if (minTotalMinor !== undefined) where.push({ field: 'totalMinor', from: minTotalMinor });
  if (maxTotalMinor !== undefined) where.push({ field: 'totalMinor', to: maxTotalMinor });
  return where;
}
