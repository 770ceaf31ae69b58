import type { Context } from '../../domain/events.js';
import { keepNewest } from '../concurrency/keep-newest.js';
import { sourceOf } from '../log/partition.js';
import type { EventStore, RecordedEvent } from '../ports/event-store.js';
import type { StoredDocument, View } from '../ports/view-store.js';
import { fold } from '../views/fold.js';

/** The document that a view makes of a stream's events up to and including `version`; 0 is before its first event. */
export interface DocumentState<D> {
  version: number;
  stored: StoredDocument<D> | undefined;
  /** Id of the event at `version`. */
  eventId: string;
}

export interface DocumentStates<D> {
  /** The state at `version`, or at the stream's last version when that is lower. */
  at(id: string, version: number): Promise<DocumentState<D>>;
  after(id: string, state: DocumentState<D>, event: RecordedEvent): DocumentState<D>;
  /** Remembers a state, so that later reads go on from it. */
  keep(id: string, state: DocumentState<D>): void;
}

const chunk = 1_000;
/** States below this version are not kept: they are folded as quickly as they are looked up. */
const worthKeeping = 200;
/** A state takes some kB. */
const statesOfStream = 128;
const streams = 50;

/** Keeps some states of long streams in memory: a version is folded from the nearest earlier one of them, not from the beginning. */
export function createDocumentStates<C extends Context, D extends object>(
  { view, store, stream }: { view: View<D>; store: Pick<EventStore<C>, 'readStream'>; stream: (id: string) => string },
): DocumentStates<D> {
  const kept = new Map<string, Map<number, DocumentState<D>>>();
  const nothing: DocumentState<D> = { version: 0, stored: undefined, eventId: '' };

  function nearest(id: string, version: number): DocumentState<D> {
    let found = nothing;
    for (const state of kept.get(id)?.values() ?? []) if (state.version <= version && state.version > found.version) found = state;
    return found;
  }

  function after(id: string, state: DocumentState<D>, event: RecordedEvent): DocumentState<D> {
    return { version: event.version, stored: fold(view, id, state.stored, { source: sourceOf(event, 1), event }), eventId: event.metadata.id };
  }

  function keep(id: string, state: DocumentState<D>): void {
    if (state.version < worthKeeping) return;
    const states = kept.get(id) ?? new Map<number, DocumentState<D>>();
    keepNewest(states, state.version, state, statesOfStream);
    keepNewest(kept, id, states, streams);
  }

  return {
    after,
    keep,
    async at(id, version) {
      for (let state = nearest(id, version); ;) {
        const from = state.version;
        const to = Math.min(version, from + chunk);
        const events = await store.readStream(stream(id), { after: Math.max(0, from - 1), to });
        // The event that the state ends with is read again: in a log that was restored from an older backup, it may be another one, or gone.
        if (from > 0 && events.shift()?.metadata.id !== state.eventId) {
          kept.delete(id);
          state = nothing;
          continue;
        }
        for (const event of events) state = after(id, state, event);
        keep(id, state);
        if (state.version === version || events.length < to - from) return state;
      }
    },
  };
}
