import type { Context } from '../../domain/events.js';
import type { Aggregate } from './aggregate.js';
import { keepNewest } from '../concurrency/keep-newest.js';
import type { EventStore, RecordedEvent } from '../ports/event-store.js';
import type { Logger } from '../ports/logger.js';
import type { SnapshotStore } from '../ports/snapshot-store.js';

/** The state of a stream. */
export interface Loaded<State> {
  state: State;
  version: number;
  /** Position of the last event in the log, and its business time (`at`), which never goes back in a stream. */
  position: number;
  at: string;
  /** Id of the last event; unknown when the state comes from a snapshot alone. */
  eventId?: string;
}

/** Loads the states of streams, and remembers those that were used last. */
export interface StreamStates {
  /** What is known without asking the log: it may be old, or of a history that the log has lost. Only to be trusted under the version check. */
  guess<C extends Context, Command, State>(
    aggregate: Aggregate<C, Command, State>, store: EventStore<C>, stream: string, command: Command,
  ): Loaded<State> | undefined;
  load<C extends Context, Command, State>(aggregate: Aggregate<C, Command, State>, store: EventStore<C>, stream: string): Promise<Loaded<State>>;
  /** The state of the stream now, read on from `known`; the same object when nothing has changed. */
  reload<C extends Context, Command, State>(
    aggregate: Aggregate<C, Command, State>, store: EventStore<C>, stream: string, known: Loaded<State>,
  ): Promise<Loaded<State>>;
  /** Keeps the state after an append at version `before`. */
  remember<C extends Context, Command, State>(aggregate: Aggregate<C, Command, State>, stream: string, before: number, loaded: Loaded<State>): void;
  forget(stream: string): void;
}

const cachedStreams = 20_000;
const snapshotEvery = 200;
/** How many entries may be written to snapshots for each event. */
const entriesAnEvent = 10;

/** The more entries a state has, the less often a snapshot is taken, so that the cost per event does not grow. */
export function snapshotIsDue(before: number, version: number, entries: number): boolean {
  let every = snapshotEvery;
  while (every * entriesAnEvent < entries) every *= 2;
  return Math.floor(version / every) > Math.floor(before / every);
}

export function createStreamStates({ snapshots, logger }: { snapshots: Partial<Record<Context, SnapshotStore>>; logger: Logger }): StreamStates {
  const cache = new Map<string, Loaded<unknown>>();
  const interruptions: Partial<Record<Context, number>> = {};

  /** Another server may have taken over, with another history of the same length: the version check would not notice. */
  function forgetAfterInterruption(context: Context, store: Pick<EventStore, 'interruptions'>): void {
    const before = interruptions[context] ?? store.interruptions;
    interruptions[context] = store.interruptions;
    if (before !== store.interruptions) cache.clear();
  }

  function remember<State>(stream: string, loaded: Loaded<State>): Loaded<State> {
    keepNewest(cache, stream, loaded, cachedStreams);
    return loaded;
  }

  function fold<C extends Context, Command, State>(
    aggregate: Aggregate<C, Command, State>, stream: string, base: Loaded<State>, events: readonly RecordedEvent<C>[],
  ): Loaded<State> {
    const last = events.at(-1);
    if (last === undefined) return base;
    const state = events.reduce((folded, event) => aggregate.decider.evolve(folded, event.data), base.state);
    return remember(stream, { state, version: last.version, position: last.position, at: last.data.at, eventId: last.metadata.id });
  }

  async function load<C extends Context, Command, State>(
    aggregate: Aggregate<C, Command, State>, store: EventStore<C>, stream: string,
  ): Promise<Loaded<State>> {
    const snapshot = await snapshots[aggregate.context]?.load(stream);
    const base = snapshot?.revision === aggregate.revision
      ? { ...snapshot, state: aggregate.snapshot.read(snapshot.state) }
      : nothing(aggregate.decider.initial);
    return fold(aggregate, stream, base, await store.readStream(stream, { after: base.version }));
  }

  return {
    guess<C extends Context, Command, State>(aggregate: Aggregate<C, Command, State>, store: EventStore<C>, stream: string, command: Command) {
      forgetAfterInterruption(aggregate.context, store);
      return cache.get(stream) as Loaded<State> | undefined ?? (aggregate.begins(command) ? nothing(aggregate.decider.initial) : undefined);
    },
    load,
    async reload(aggregate, store, stream, known) {
      if (known.version === 0) return fold(aggregate, stream, known, await store.readStream(stream));
      const [last, ...since] = await store.readStream(stream, { after: known.version - 1 });
      if (last?.position === known.position && last.metadata.id === (known.eventId ?? last.metadata.id)) return fold(aggregate, stream, known, since);
      // This happens after a failover to a replica that lagged: nothing that is remembered can be relied on.
      logger.warn({ stream, version: known.version, position: known.position }, 'the log no longer has what was in it: every stream is read anew');
      cache.clear();
      return load(aggregate, store, stream);
    },
    remember(aggregate, stream, before, loaded) {
      remember(stream, loaded);
      const { context, revision, snapshot } = aggregate;
      const { eventId: _unkept, state, ...rest } = loaded;
      if (!snapshotIsDue(before, loaded.version, snapshot.entries(state))) return;
      snapshots[context]?.save({ stream, revision, ...rest, state: snapshot.write(state) })
        .catch((error: unknown) => { logger.warn({ err: error, stream }, 'a snapshot could not be kept'); });
    },
    forget(stream) { cache.delete(stream); },
  };
}

function nothing<State>(initial: State): Loaded<State> {
  return { state: initial, version: 0, position: 0, at: '' };
}
