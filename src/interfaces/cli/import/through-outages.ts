import { mayPass } from '../../../application/commands/passing.js';
import { pause } from '../../../application/concurrency/pause.js';
import { Rejection } from '../../../domain/shared/rejection.js';
import { OperatorError } from '../../../infrastructure/process/operator-error.js';

export interface Patience {
  /** How long an outage is waited for. */
  outageMs: number;
  stop: AbortSignal;
  /** Told at each attempt that an outage has made vain. */
  onWaiting: (code: string) => void;
}

const shortestPauseMs = 50;
const longestPauseMs = 2_000;

/** Does `work` again for as long as an outage keeps it from ending. @throws OperatorError when that takes too long, or nobody wants it any more */
export async function throughOutages<T>({ outageMs, stop, onWaiting }: Patience, work: () => Promise<T>): Promise<T> {
  const began = performance.now();
  for (let pauseMs = shortestPauseMs; ; pauseMs = Math.min(pauseMs * 2, longestPauseMs)) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof Rejection) || !mayPass(error)) throw error;
      if (stop.aborted || performance.now() - began >= outageMs) {
        throw new OperatorError(`the import has stopped: ${error.message}. Run it again when that is over: what is in is not done again.`, { cause: error });
      }
      onWaiting(error.code);
      await pause(pauseMs, stop);
    }
  }
}
