import { onAbort } from './abort.js';

/** Wakes those in this process who wait for news. */
export class Wakeable {
  private readonly waiting = new Set<() => void>();
  private count = 0;

  /** Count of the news so far. Take it before looking, so that news that comes while one looks is not missed. */
  get seen(): number {
    return this.count;
  }

  wake(): void {
    this.count++;
    for (const goOn of this.waiting) goOn();
  }

  /** Resolves when there is news since `seen`, after `ms`, or when `stop` is aborted. */
  async wait(seen: number, ms: number, stop: AbortSignal): Promise<void> {
    if (this.count !== seen || stop.aborted) return;
    await new Promise<void>((resolve) => {
      const goOn = () => {
        clearTimeout(timer);
        release();
        this.waiting.delete(goOn);
        resolve();
      };
      const timer = setTimeout(goOn, ms);
      const release = onAbort(stop, goOn);
      this.waiting.add(goOn);
    });
  }
}
