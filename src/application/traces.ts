import type { EventStore, EventStores, RecordedEvent } from './ports/event-store.js';

export interface TraceNode {
  event: RecordedEvent;
  /** What policies did because of it. */
  caused: TraceNode[];
}

export type Traces = (correlationId: string) => Promise<TraceNode[]>;

const pageSize = 1_000;

/** Everything that one correlation id caused, in the contexts whose logs are at hand, as trees by causation; `[]` when nothing is known of it. */
export function createTraces(stores: Partial<EventStores>): Traces {
  return async (correlationId) => {
    const events = (await Promise.all(Object.values(stores).map((store) => eventsOf(store, correlationId)))).flat()
      .sort((a, b) => (a.recordedAt < b.recordedAt ? -1 : a.recordedAt > b.recordedAt ? 1 : a.position - b.position));
    const nodes = new Map(events.map((event) => [event.metadata.id, { event, caused: [] as TraceNode[] }]));
    const roots: TraceNode[] = [];
    for (const node of nodes.values()) {
      const cause = node.event.metadata.causationId === null ? undefined : nodes.get(node.event.metadata.causationId);
      (cause?.caused ?? roots).push(node);
    }
    return roots;
  };
}

async function eventsOf(store: EventStore, correlationId: string): Promise<RecordedEvent[]> {
  const found: RecordedEvent[] = [];
  for (let after = 0; ;) {
    const { events, next } = await store.readLog({ after, limit: pageSize, correlationId });
    found.push(...events);
    if (events.length < pageSize) return found;
    after = next;
  }
}
