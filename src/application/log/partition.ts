import type { Context } from '../../domain/events.js';
import type { RecordedEvent } from '../ports/event-store.js';
import type { Progress, Source } from '../ports/event-feed.js';

/**
 * The partition of a customer's events: FNV-1a (32 bit) over UTF-16 code units, then its high half folded in, modulo `partitions`.
 * Part of the public contract: topics, consistency tokens and stored documents carry it, so it never changes.
 */
export function partitionOf(customerId: string, partitions: number): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < customerId.length; i++) hash = Math.imul(hash ^ customerId.charCodeAt(i), 0x01000193);
  return ((hash ^ (hash >>> 16)) >>> 0) % partitions;
}

export function sourceOf(event: RecordedEvent, partitions: number): Source {
  return source(event.context, partitionOf(event.data.customerId, partitions));
}

export function source(context: Context, partition: number): Source {
  return `${context}/${partition}`;
}

/** By source, the greater of two positions. */
export function furthest(a: Progress, b: Progress): Progress {
  const merged: Partial<Record<Source, number>> = { ...a };
  for (const [one, position] of Object.entries(b) as [Source, number][]) merged[one] = Math.max(merged[one] ?? 0, position);
  return merged;
}
