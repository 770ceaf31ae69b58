import type { Context } from '../../domain/events.js';

/** Wakes readers of a log after an append. A hint: it may be lost or come twice, so readers also poll. */
export interface LogSignal {
  raise(context: Context): void;
  /** Calls `wake` after appends to `context`, from any process. @returns ends it */
  subscribe(context: Context, wake: () => void): () => void;
}
