import type { CheckpointStore } from '../../application/ports/checkpoint-store.js';
import type { EventPublisher } from '../../application/ports/event-publisher.js';
import type { PublishedTopic } from '../../application/ports/published-topic.js';
import type { EventStore, EventStores } from '../../application/ports/event-store.js';
import type { Logger } from '../../application/ports/logger.js';
import type { LogSignal } from '../../application/ports/log-signal.js';
import type { Tracer } from '../../application/ports/tracer.js';
import { runRelay, type RelayState } from '../../application/log/relay.js';
import type { Context } from '../../domain/events.js';
import { codec } from './modules.js';

interface Dependencies {
  stores: Partial<EventStores>;
  checkpoints: Partial<Record<Context, CheckpointStore>>;
  signal: LogSignal;
  publisher: EventPublisher & PublishedTopic;
  partitions: number;
  logger: Logger;
  tracer: Tracer;
}

/** The relays of this process, and how far each one that leads has got. */
export interface Relays {
  /** Runs the relay of a context; `undefined` when this process does not have its log. */
  work(context: Context): ((stop: AbortSignal) => Promise<void>) | undefined;
  states(): RelayState[];
}

/** A failed relay is restarted sooner than this, or has been taken over by another process. */
const pauseMs = 10_000;

export function createRelays({ stores, checkpoints, publisher, ...rest }: Dependencies): Relays {
  const known = new Map<Context, { state: RelayState; failedAt?: number }>();
  return {
    work(context) {
      const store: EventStore | undefined = stores[context];
      const own = checkpoints[context];
      if (store === undefined || own === undefined) return undefined;
      return async (stop) => {
        try {
          const dependencies = { store, checkpoints: own, publisher, topic: publisher, codec, ...rest };
          await runRelay(context, dependencies, stop, (state) => { known.set(context, { state }); });
          known.delete(context);
        } catch (error) {
          const last = known.get(context)?.state ?? { context, published: {}, position: 0, behindSince: null };
          known.set(context, { state: { ...last, error: (error as Error).message }, failedAt: performance.now() });
          throw error;
        }
      };
    },
    states: () => [...known.values()]
      .filter(({ failedAt = Infinity }) => performance.now() - failedAt < pauseMs)
      .map(({ state }) => state),
  };
}
