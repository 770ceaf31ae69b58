import type { Context } from '../domain/events.js';
import { Rejection, type RejectionCode } from '../domain/shared/rejection.js';
import { mayBeSeenBy, type Caller } from './caller.js';
import { sourceOf } from './partition.js';
import type { EventStore, RecordedEvent } from './ports/event-store.js';
import type { StoredDocument } from './ports/view-store.js';
import { fold, foldAll } from './projections/fold.js';
import type { View } from './projections/projection.js';

export interface Change {
  /** JSON pointer into the document. */
  path: string;
  from: unknown;
  to: unknown;
}

/** An event of a stream with the state after it, and what it changed. */
export interface HistoryEntry<D> {
  event: RecordedEvent;
  state: D | null;
  changes: Change[];
}

/** What one stream says of itself: read from the log, folded by the view's own code. */
export interface StreamQueries<D> {
  /** Events with a version above `after`, at most `limit`, and whether more follow. @throws Rejection when there is no such stream, or it is somebody else's */
  history(id: string, caller: Caller, page: { after: number; limit: number }): Promise<{ entries: HistoryEntry<D>[]; more: boolean }>;
  /** The document as it was after `version`. @throws Rejection likewise, and when the stream has no such version */
  atVersion(id: string, caller: Caller, version: number): Promise<D>;
}

export function createStreamQueries<C extends Context, D extends object>(
  { view, store, stream, unknown }: { view: View<D>; store: EventStore<C>; stream: (id: string) => string; unknown: RejectionCode },
): StreamQueries<D> {
  async function eventsOf(id: string, caller: Caller, to: number): Promise<RecordedEvent<C>[]> {
    const events = await store.readStream(stream(id), { to });
    const [first] = events;
    if (first === undefined || !mayBeSeenBy(caller, first.data)) throw new Rejection(unknown, { id });
    return events;
  }

  return {
    async history(id, caller, { after, limit }) {
      const events = await eventsOf(id, caller, after + limit + 1);
      let stored: StoredDocument<D> | undefined;
      const entries = events.map((event): HistoryEntry<D> => {
        const before = stored?.document;
        stored = fold(view, id, stored, { source: sourceOf(event, 1), event });
        return { event, state: stored?.document ?? null, changes: differences(before ?? {}, stored?.document ?? {}) };
      });
      return { entries: entries.slice(after, after + limit), more: entries.length > after + limit };
    },
    async atVersion(id, caller, version) {
      const events = await eventsOf(id, caller, version);
      const document = foldAll(view, id, events);
      if (document === undefined || events.length < version) throw new Rejection('stream.unknown-version', { id, version, latest: events.length });
      return document;
    },
  };
}

/** What differs, as leaves: objects and arrays are looked into. */
function differences(from: unknown, to: unknown, path = ''): Change[] {
  if (from === to) return [];
  if (typeof from !== 'object' || typeof to !== 'object' || from === null || to === null || Array.isArray(from) !== Array.isArray(to)) {
    return [{ path, from: from ?? null, to: to ?? null }];
  }
  const [before, after] = [from, to].map((value) => value as Record<string, unknown>);
  const names = new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})]);
  return [...names].flatMap((name) => differences(before?.[name], after?.[name], `${path}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`));
}
