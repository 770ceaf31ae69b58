import { sourceOf } from './partition.js';
import type { Progress, Source } from '../ports/event-feed.js';
import type { EventStore } from '../ports/event-store.js';

/** By source, the position of the last event in the log. */
export type PartitionHeads = () => Promise<Progress>;

const firstLook = 1_000;
const pageSize = 5_000;

/** Looks at what is new since it was last asked; the first time, back from the end until every partition was seen. */
export function createPartitionHeads(store: EventStore, partitions: number): PartitionHeads {
  const last = new Map<Source, number>();
  let seen: number | undefined;

  async function read(after: number, to: number): Promise<void> {
    for (let at = after; at < to;) {
      const { events, next } = await store.readLog({ after: at, limit: pageSize });
      for (const event of events) {
        const source = sourceOf(event, partitions);
        last.set(source, Math.max(last.get(source) ?? 0, event.position));
      }
      if (events.length === 0) return;
      at = next;
    }
  }

  return async () => {
    const { position } = await store.head();
    if (seen === undefined) {
      let from = position;
      for (let look = firstLook; from > 0 && last.size < partitions; look *= 2) {
        const start = Math.max(0, position - look);
        await read(start, from);
        from = start;
      }
    } else await read(seen, position);
    seen = position;
    return Object.fromEntries(last);
  };
}
