import { EventEmitter, once } from 'node:events';

/** Lets those who wait in this process go on when there is something new. */
export class Wakeable {
  private readonly emitter = new EventEmitter().setMaxListeners(0);
  private count = 0;

  /** Of the news so far: taken before looking, so that what comes while one looks is not slept over. */
  get seen(): number {
    return this.count;
  }

  wake(): void {
    this.count++;
    this.emitter.emit('news');
  }

  /** Resolves when there is news since `seen`, after `ms`, or when `stop` is aborted. */
  async wait(seen: number, ms: number, stop: AbortSignal): Promise<void> {
    if (this.count !== seen) return;
    const over = new AbortController();
    const timer = setTimeout(() => { over.abort(); }, ms);
    await once(this.emitter, 'news', { signal: AbortSignal.any([stop, over.signal]) }).catch(() => undefined);
    clearTimeout(timer);
  }
}
