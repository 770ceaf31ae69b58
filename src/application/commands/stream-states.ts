import type { Context } from '../../domain/events.js';
import type { Aggregate } from './aggregate.js';
import { keepNewest } from '../concurrency/keep-newest.js';
import type { EventStore, RecordedEvent } from '../ports/event-store.js';
import type { Logger } from '../ports/logger.js';
import type { SnapshotStore } from '../ports/snapshot-store.js';

/** What a stream has come to. */
export interface Loaded<State> {
  state: State;
  version: number;
  /** Of the last event: position in the log, and business time, which never goes back in a stream. */
  position: number;
  at: string;
  /** The last event's own; unknown of a state that a snapshot was all of. */
  eventId?: string;
}

/** The states of the streams that were used last, and the ways to them. */
export interface StreamStates {
  /** What is known without asking: maybe old, or of a history that was not kept. Only to be trusted under the version check. */
  guess<C extends Context, Command, State>(aggregate: Aggregate<C, Command, State>, store: EventStore<C>, stream: string, command: Command): Loaded<State> | undefined;
  load<C extends Context, Command, State>(aggregate: Aggregate<C, Command, State>, store: EventStore<C>, stream: string): Promise<Loaded<State>>;
  /** What the stream has come to since `known`: the same object when that is its state still. */
  reload<C extends Context, Command, State>(aggregate: Aggregate<C, Command, State>, store: EventStore<C>, stream: string, known: Loaded<State>): Promise<Loaded<State>>;
  /** After an append at version `before`. */
  remember<C extends Context, Command, State>(aggregate: Aggregate<C, Command, State>, stream: string, before: number, loaded: Loaded<State>): void;
  forget(stream: string): void;
}

const cachedStreams = 20_000;
const snapshotEvery = 200;
/** What an event may cost in snapshots, in entries. */
const entriesAnEvent = 10;

/** The more there is in a state, the less often it is kept, so that an event's share of that does not grow. */
export function snapshotIsDue(before: number, version: number, entries: number): boolean {
  let every = snapshotEvery;
  while (every * entriesAnEvent < entries) every *= 2;
  return Math.floor(version / every) > Math.floor(before / every);
}

export function createStreamStates({ snapshots, logger }: { snapshots: Partial<Record<Context, SnapshotStore>>; logger: Logger }): StreamStates {
  const cache = new Map<string, Loaded<unknown>>();
  const interruptions: Partial<Record<Context, number>> = {};

  /** Another server may have taken over, with another history of the same length: the version check would not tell. */
  function forgetAfterInterruption(context: Context, store: Pick<EventStore, 'interruptions'>): void {
    const before = interruptions[context] ?? store.interruptions;
    interruptions[context] = store.interruptions;
    if (before !== store.interruptions) cache.clear();
  }

  function remember<State>(stream: string, loaded: Loaded<State>): Loaded<State> {
    keepNewest(cache, stream, loaded, cachedStreams);
    return loaded;
  }

  function fold<C extends Context, Command, State>(aggregate: Aggregate<C, Command, State>, stream: string, base: Loaded<State>, events: readonly RecordedEvent<C>[]): Loaded<State> {
    const last = events.at(-1);
    if (last === undefined) return base;
    const state = events.reduce((folded, event) => aggregate.decider.evolve(folded, event.data), base.state);
    return remember(stream, { state, version: last.version, position: last.position, at: last.data.at, eventId: last.metadata.id });
  }

  async function load<C extends Context, Command, State>(aggregate: Aggregate<C, Command, State>, store: EventStore<C>, stream: string): Promise<Loaded<State>> {
    const snapshot = await snapshots[aggregate.context]?.load(stream);
    const base = snapshot?.revision === aggregate.revision ? { ...snapshot, state: aggregate.snapshot.read(snapshot.state) } : nothing(aggregate.decider.initial);
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
      // As after a failover to a replica that did not have it yet: nothing that is remembered can be relied on.
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
