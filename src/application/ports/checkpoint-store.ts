import type { Progress } from './event-feed.js';

/** Where a worker without a store of its own has got to. */
export interface CheckpointStore {
  /** `{}` for a name that was never saved. */
  load(name: string): Promise<Progress>;
  /** Merges per source; a position never goes back. */
  save(name: string, progress: Progress): Promise<void>;
  /** Compare and set: stores `next` only where `expected` is what is stored. @returns whether it did */
  advance(name: string, expected: Progress, next: Progress): Promise<boolean>;
}
