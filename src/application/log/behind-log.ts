import type { Context } from '../../domain/events.js';
import { sourceOf } from './partition.js';
import type { CheckpointStore } from '../ports/checkpoint-store.js';
import type { Clock } from '../ports/clock.js';
import type { Progress, Source } from '../ports/event-feed.js';
import type { EventStore, EventStores } from '../ports/event-store.js';
import { relayCheckpoint } from './relay.js';

/** Since when (`recordedAt`) the log has had an event that a subscriber with this progress lacks; `null` when it lacks none, or only what is on its way. */
export type BehindLog = (progress: Progress) => Promise<string | null>;

interface Dependencies {
  /** The logs at hand; of another one nothing is known. */
  stores: Partial<EventStores>;
  /** Beside each of them, where its relay notes how far it has published. */
  checkpoints: Partial<Record<Context, CheckpointStore>>;
  partitions: number;
  clock: Clock;
  everyMs?: number;
}

const defaultEveryMs = 10_000;
/** While it lacks something it is looked at more often, so that the lag goes away when the reason does. */
const oftener = 10;
/** An event that is younger is on its way. */
const onItsWayMs = 5_000;
/** The first event of a partition is looked for among so many of the log. */
const lookedAt = 500;

/**
 * A topic that has lost its end looks to its readers as if nothing had happened since. Two small questions to each log tell, now and then.
 * One for each subscriber: it remembers since when which source is behind.
 */
export function createBehindLog({ stores, checkpoints, partitions, clock, everyMs = defaultEveryMs }: Dependencies): BehindLog {
  /** `after`: how far the subscriber was then. */
  const since = new Map<Source, { after: number; at: string }>();
  let unpublished: string[] = [];
  let askedAt = -Infinity;
  const isLate = (recordedAt: string) => clock.now().getTime() - Date.parse(recordedAt) > onItsWayMs;

  async function look(store: EventStore, own: CheckpointStore, progress: Progress): Promise<void> {
    const published = await own.load(relayCheckpoint);
    const recordedAt = async (position: number) => (await store.readLog({ after: position - 1, limit: 1 })).events[0]?.recordedAt;
    for (const source of since.keys()) if (progress[source] === undefined) since.delete(source);
    for (const [source, position] of Object.entries(published) as [Source, number][]) {
      const after = progress[source];
      if (after === undefined || after >= position) {
        since.delete(source);
        continue;
      }
      if (since.get(source)?.after === after) continue;
      // The last one that was published may be new, and the first one that is lacking an hour old.
      const { events } = await store.readLog({ after, limit: lookedAt });
      const at = events.find((event) => sourceOf(event, partitions) === source)?.recordedAt ?? await recordedAt(position);
      if (at !== undefined && isLate(at)) since.set(source, { after, at });
      else since.delete(source);
    }
    const next = await recordedAt(Math.max(0, ...Object.values(published) as number[]) + 1);
    if (next !== undefined && isLate(next)) unpublished.push(next);
  }

  return async (progress) => {
    const behind = since.size > 0 || unpublished.length > 0;
    if (performance.now() - askedAt >= (behind ? everyMs / oftener : everyMs)) {
      askedAt = performance.now();
      const contexts = new Set(Object.keys(progress).map((source) => source.slice(0, source.indexOf('/')) as Context));
      const before = unpublished;
      unpublished = [];
      try {
        for (const context of contexts) {
          const [store, own] = [stores[context], checkpoints[context]];
          if (store !== undefined && own !== undefined) await look(store, own, progress);
        }
      } catch {
        // A log that is away has nothing new: what was known of it stays.
        unpublished = before;
      }
    }
    return [...[...since.values()].map(({ at }) => at), ...unpublished].sort()[0] ?? null;
  };
}
