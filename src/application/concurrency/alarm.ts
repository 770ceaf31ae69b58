import { onAbort } from './abort.js';

/** Wakes a loop that has nothing to do. */
export interface Alarm {
  ring: () => void;
  /** Forgets the rings so far: what they were about is looked at next. */
  reset(): void;
  /** Until a ring since the last reset, the time, or the stop. */
  wait(ms: number): Promise<void>;
}

export function createAlarm(stop: AbortSignal): Alarm {
  let rung = false;
  let wake: (() => void) | undefined;
  const ring = () => {
    rung = true;
    wake?.();
  };
  return {
    ring,
    reset() { rung = false; },
    async wait(ms) {
      if (rung || stop.aborted) return;
      await new Promise<void>((resolve) => {
        const done = () => {
          clearTimeout(timer);
          release();
          resolve();
        };
        const timer = setTimeout(done, ms);
        const release = onAbort(stop, done);
        wake = done;
      });
      wake = undefined;
    },
  };
}
