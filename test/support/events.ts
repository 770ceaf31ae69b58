import { uuidIds } from '../../src/infrastructure/process/uuid-ids.js';
import type { FeedEvent } from '../../src/application/ports/event-feed.js';
import type { NewEvent, RecordedEvent } from '../../src/application/ports/event-store.js';
import { sourceOf } from '../../src/application/log/partition.js';
import { contextOf, type Context, type DomainEvent } from '../../src/domain/events.js';
import type { OrderEvent } from '../../src/domain/orders/order.js';
import type { Stream } from './arbitraries.js';

export const partitions = 12;
export const clock = { now: () => new Date() };
export const quiet = { info: () => undefined, warn: () => undefined, error: () => undefined };

export function newEvent(data: OrderEvent = { type: 'OrderApproved', orderId: 'o-1', customerId: 'c-1', at: '2026-01-01T00:00:00.000Z' }): NewEvent<'orders'> {
  return { data, metadata: { id: uuidIds.next(), correlationId: uuidIds.next(), causationId: null, principal: 'test', commandId: uuidIds.next() } };
}

/** The streams as a log would hold them, in the order in which `pick` takes from them. */
export function logOf(streams: readonly Stream[], pick: (open: number) => number = () => 0): RecordedEvent[] {
  const left = streams.map(({ stream, events }) => ({ stream, events: [...events], version: 0 })).filter(({ events }) => events.length > 0);
  const positions: Record<Context, number> = { customers: 0, orders: 0 };
  const log: RecordedEvent[] = [];
  while (left.length > 0) {
    const index = pick(left.length) % left.length;
    const one = left[index]!;
    log.push(recorded(one.events.shift()!, one.stream, ++one.version, positions));
    if (one.events.length === 0) left.splice(index, 1);
  }
  return log;
}

function recorded(data: DomainEvent, stream: string, version: number, positions: Record<Context, number>): RecordedEvent {
  const context = contextOf[data.type];
  return {
    context, stream, version, position: ++positions[context], recordedAt: new Date(Date.UTC(2026, 0, 1) + positions[context]).toISOString(), data,
    metadata: { id: `${context}-${positions[context]}`, correlationId: 'c', causationId: null, principal: 'test', commandId: 'x' },
  };
}

export function fed(event: RecordedEvent): FeedEvent {
  return { source: sourceOf(event, partitions), event };
}
