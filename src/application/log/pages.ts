import type { EventStore, RecordedEvent } from '../ports/event-store.js';

export interface LogPage {
  events: readonly RecordedEvent[];
  /** The first event behind them, where there is one already. */
  next: RecordedEvent | undefined;
}

/** Reads a log page by page: each behind a position. While a page is worked on, the one behind it is read. */
export function createPages(store: Pick<EventStore, 'readLog'>, pageSize: number): (after: number) => Promise<LogPage> {
  const read = async (after: number) => (await store.readLog({ after, limit: pageSize + 1 })).events;
  let ahead: { after: number; found: ReturnType<typeof read> } | undefined;
  return async (after) => {
    const reading = ahead?.after === after ? ahead.found : read(after);
    ahead = undefined;
    const found = await reading;
    const events = found.slice(0, pageSize);
    const [next, end] = [found[pageSize], events.at(-1)?.position];
    if (next !== undefined && end !== undefined) {
      ahead = { after: end, found: read(end) };
      // Whoever asks for it has the error.
      ahead.found.catch(() => undefined);
    }
    return { events, next };
  };
}
