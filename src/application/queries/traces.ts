import type { EventStore, EventStores, RecordedEvent } from '../ports/event-store.js';

export interface TraceNode {
  event: RecordedEvent;
  /** What policies did because of it. */
  caused: TraceNode[];
}

export interface Trace {
  /** As trees by causation; `[]` when nothing is known of the correlation id. */
  events: TraceNode[];
  /** There are more than `longestTrace`: these are the first. */
  truncated: boolean;
}

export type Traces = (correlationId: string) => Promise<Trace>;

/** Most events of a trace: callers choose correlation ids, and may choose the same one for everything. */
export const longestTrace = 1_000;

/** Everything that one correlation id caused, in the contexts whose logs are at hand, up to `longestTrace`. */
export function createTraces(stores: Partial<EventStores>): Traces {
  return async (correlationId) => {
    const query = { after: 0, limit: longestTrace + 1, correlationId };
    const pages = await Promise.all(Object.values(stores).map((store: EventStore) => store.readLog(query)));
    const found = pages.flatMap((page) => page.events).sort(inOrderOfTime);
    const nodes = new Map(found.slice(0, longestTrace).map((event) => [event.metadata.id, { event, caused: [] as TraceNode[] }]));
    const roots: TraceNode[] = [];
    for (const node of nodes.values()) {
      const cause = node.event.metadata.causationId === null ? undefined : nodes.get(node.event.metadata.causationId);
      (cause?.caused ?? roots).push(node);
    }
    return { events: roots, truncated: found.length > longestTrace };
  };
}

function inOrderOfTime(a: RecordedEvent, b: RecordedEvent): number {
  if (a.recordedAt === b.recordedAt) return a.position - b.position;
  return a.recordedAt < b.recordedAt ? -1 : 1;
}
