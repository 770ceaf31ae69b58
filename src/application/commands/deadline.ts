import { Rejection } from '../../domain/shared/rejection.js';

/** The time of one command, counted from its request. */
export interface Deadline {
  /** `performance.now()`. */
  at: number;
  /** @throws Rejection when it is over */
  check(): void;
  /** While it waits for `work`, which tells in time itself what became of it, nobody else is to say that nothing did. */
  leaveTo<T>(work: () => Promise<T>): Promise<T>;
}

/** What `work` comes to. It is told when its time is over, and must not begin anything more then. @throws Rejection `log.unavailable` when that takes longer than `ms` */
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
