import type { Context } from '../../domain/events.js';
import { Rejection, type RejectionCode } from '../../domain/shared/rejection.js';
import { mayBeSeenBy, type Caller } from './caller.js';
import { createDocumentStates } from './document-states.js';
import type { EventStore, RecordedEvent } from '../ports/event-store.js';
import type { View } from '../ports/view-store.js';

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

/** What a store can count to. */
const lastVersion = 2_147_483_647;

export function createStreamQueries<C extends Context, D extends object>(
  { view, store, stream, unknown }: { view: View<D>; store: EventStore<C>; stream: (id: string) => string; unknown: RejectionCode },
): StreamQueries<D> {
  const states = createDocumentStates({ view, store, stream });

  async function checkOwner(id: string, caller: Caller): Promise<void> {
    const [first] = await store.readStream(stream(id), { to: 1 });
    if (first === undefined || !mayBeSeenBy(caller, first.data)) throw new Rejection(unknown, { id });
  }

  return {
    async history(id, caller, { after, limit }) {
      await checkOwner(id, caller);
      const events = await store.readStream(stream(id), { after, to: Math.min(after + limit + 1, lastVersion) });
      if (events.length === 0) return { entries: [], more: false };
      let state = await states.at(id, after);
      const entries = events.slice(0, limit).map((event): HistoryEntry<D> => {
        const before = state.stored?.document;
        state = states.after(id, state, event);
        const document = state.stored?.document;
        return { event, state: document ?? null, changes: differences(before ?? {}, document ?? {}) };
      });
      states.keep(id, state);
      return { entries, more: events.length > limit };
    },
    async atVersion(id, caller, version) {
      await checkOwner(id, caller);
      const { version: latest, stored } = await states.at(id, version);
      if (stored === undefined || latest < version) throw new Rejection('stream.unknown-version', { id, version, latest });
      return stored.document;
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
