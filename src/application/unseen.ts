import type { Context } from '../domain/events.js';
import { sourceOf } from './partition.js';
import type { PartitionHeads } from './partition-heads.js';
import type { EventStore, EventStores } from './ports/event-store.js';
import type { ViewProgress } from './ports/view-store.js';

interface Dependencies {
  stores: Partial<EventStores>;
  heads: Partial<Record<Context, PartitionHeads>>;
  partitions: number;
}

const pageSize = 1_000;

/**
 * `progress`, with what the logs at hand have beyond it. A projector that shares its view's partitions with others speaks for its own only: of those whose
 * projector has died, nobody says that they are behind until somebody takes them over.
 */
export function createUnseen({ stores, heads, partitions }: Dependencies) {
  async function oldestUnseen(context: Context, { applied }: ViewProgress): Promise<string | undefined> {
    const store: EventStore | undefined = stores[context];
    const last = await heads[context]?.() ?? {};
    const behind = (Object.entries(last) as [keyof typeof applied, number][]).map(([source, head]) => [applied[source] ?? 0, head] as const).filter(([reached, head]) => reached < head);
    if (store === undefined || behind.length === 0) return undefined;
    const { events } = await store.readLog({ after: Math.min(...behind.map(([reached]) => reached)), limit: pageSize });
    // Farther on than a page: what lies before it is older, so too much is said rather than too little.
    return (events.find((event) => event.position > (applied[sourceOf(event, partitions)] ?? 0)) ?? events.at(-1))?.recordedAt;
  }

  return async (contexts: readonly Context[], progress: ViewProgress): Promise<ViewProgress> => {
    const unseen = await Promise.all(contexts.map((context) => oldestUnseen(context, progress)));
    const [oldest] = [progress.behindSince ?? [], ...unseen.map((one) => one ?? [])].flat().sort();
    return { ...progress, behindSince: oldest ?? null };
  };
}
