import type { SpanOptions } from '../ports/tracer.js';
import type { RecordedEvent } from '../ports/event-store.js';

const mostLinks = 128;

/** What led to a batch of events: each trace context once, up to a limit. A batch that comes from one alone continues its trace. */
export function causesOf(events: Iterable<Pick<RecordedEvent, 'metadata'>>): Pick<SpanOptions, 'parent' | 'links'> {
  const contexts = new Set<string>();
  for (const { metadata: { traceparent } } of events) {
    if (traceparent !== undefined) contexts.add(traceparent);
    if (contexts.size === mostLinks) break;
  }
  const links = [...contexts];
  return { links, ...(links.length === 1 && { parent: links[0] }) };
}
