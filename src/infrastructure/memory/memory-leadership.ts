import type { Leadership } from '../../application/ports/leadership.js';

/** Among the workers of one process: the first leads, the others wait their turn. */
export class MemoryLeadership implements Leadership {
  private readonly leading = new Map<string, Promise<void>>();

  async lead(name: string, stop: AbortSignal, work: (stop: AbortSignal) => Promise<void>): Promise<void> {
    const stopped = new Promise<void>((resolve) => {
      if (stop.aborted) resolve();
      else stop.addEventListener('abort', () => { resolve(); }, { once: true });
    });
    for (let before = this.leading.get(name); before !== undefined && !stop.aborted; before = this.leading.get(name)) await Promise.race([before, stopped]);
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
