import type { EventType } from '../../domain/events.js';
import { sourceOf } from '../log/partition.js';
import type { FeedEvent } from '../ports/event-feed.js';
import type { RecordedEvent } from '../ports/event-store.js';
import type { Key, StoredDocument, View } from '../ports/view-store.js';
import type { Handler } from './declaration.js';

/** The id of the document that `event` concerns; `undefined` when the view does not handle it. */
export function documentIdOf<D extends object>(view: View<D>, event: RecordedEvent): string | undefined {
  if (view.on[event.data.type] === undefined) return undefined;
  return (event.data as Partial<Record<Key, string>>)[view.key];
}

/**
 * `stored` with one more event applied. Duplicates are skipped here, and nowhere else. The revision is the writer's business.
 * @throws Error that names the event, when a handler fails
 */
export function fold<D extends object>(
  view: View<D>, id: string, stored: StoredDocument<D> | undefined, { source, event }: FeedEvent,
): StoredDocument<D> | undefined {
  if (event.position <= (stored?.applied[source] ?? 0)) return stored;
  const handler = view.on[event.data.type] as Handler<D, EventType> | undefined;
  if (handler === undefined) return stored;
  let document: D | undefined;
  try {
    document = handler(stored?.document, event.data, event);
  } catch (error) {
    throw new Error(`${view.name} cannot apply ${event.data.type} at ${event.context} ${event.position}`, { cause: error });
  }
  if (document === undefined || document === stored?.document) return stored;
  return { id, revision: stored?.revision ?? 0, applied: { ...stored?.applied, [source]: event.position }, deleted: false, document };
}

/** The document that these events make, from nothing: the state of a stream at a version, or a view's naive fold. */
export function foldAll<D extends object>(view: View<D>, id: string, events: readonly RecordedEvent[]): D | undefined {
  let stored: StoredDocument<D> | undefined;
  for (const event of events) stored = fold(view, id, stored, { source: sourceOf(event, 1), event });
  return stored?.document;
}
