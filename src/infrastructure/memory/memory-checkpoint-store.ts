import { isDeepStrictEqual } from 'node:util';
import type { CheckpointStore } from '../../application/ports/checkpoint-store.js';
import type { Progress } from '../../application/ports/event-feed.js';
import { furthest } from '../../application/log/partition.js';

export class MemoryCheckpointStore implements CheckpointStore {
  private readonly checkpoints = new Map<string, Progress>();

  async load(name: string): Promise<Progress> {
    return Promise.resolve({ ...this.checkpoints.get(name) });
  }

  async save(name: string, progress: Progress): Promise<void> {
    this.checkpoints.set(name, furthest(this.checkpoints.get(name) ?? {}, progress));
    return Promise.resolve();
  }

  async advance(name: string, expected: Progress, next: Progress): Promise<boolean> {
    const matches = isDeepStrictEqual({ ...this.checkpoints.get(name) }, { ...expected });
    if (matches) this.checkpoints.set(name, { ...next });
    return Promise.resolve(matches);
  }
}
