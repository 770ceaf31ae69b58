import { onAbort } from '../../application/concurrency/abort.js';
import type { Leadership } from '../../application/ports/leadership.js';

/** Among the workers of one process: the first leads, the others wait their turn. */
export class MemoryLeadership implements Leadership {
  private readonly leading = new Map<string, Promise<void>>();

  async lead(name: string, stop: AbortSignal, work: (stop: AbortSignal) => Promise<void>, standsBy?: () => void): Promise<void> {
    for (let before = this.leading.get(name); before !== undefined && !stop.aborted; before = this.leading.get(name)) {
      standsBy?.();
      await endedOrStopped(before, stop);
    }
    if (stop.aborted) return;
    const mine = work(stop);
    const ended = mine.catch(() => undefined);
    this.leading.set(name, ended);
    try {
      await mine;
    } finally {
      if (this.leading.get(name) === ended) this.leading.delete(name);
    }
  }
}

function endedOrStopped(before: Promise<void>, stop: AbortSignal): Promise<void> {
  let release: () => void = () => undefined;
  const stopped = new Promise<void>((resolve) => { release = onAbort(stop, resolve); });
  return Promise.race([before, stopped]).finally(() => { release(); });
}
