import { Rejection } from '../../domain/shared/rejection.js';

/** The time limit of one command, counted from its request. */
export interface Deadline {
  /** `performance.now()`. */
  at: number;
  /** @throws Rejection when it is over */
  check(): void;
  /** Waits for `work`, which reports its own outcome in time: while it runs, no timeout claims that nothing was stored. */
  leaveTo<T>(work: () => Promise<T>): Promise<T>;
}

/**
 * Runs `work` under a time limit. It is given the deadline, and must not begin anything more once that has passed.
 * @throws Rejection `log.unavailable` when it takes longer than `ms`
 */
export function inTime<T>(ms: number, work: (deadline: Deadline) => Promise<T>): Promise<T> {
  const at = performance.now() + ms;
  let left = false;
  const late = () => new Rejection('log.unavailable', { reason: `the log has not answered within ${ms} ms`, outcome: 'not-stored' });
  const deadline: Deadline = {
    at,
    check() {
      if (performance.now() >= at) throw late();
    },
    async leaveTo(last) {
      left = true;
      try {
        return await last();
      } finally {
        left = false;
      }
    },
  };
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => { if (!left) reject(late()); }, ms);
    work(deadline).finally(() => { clearTimeout(timer); }).then(resolve, reject);
  });
}
