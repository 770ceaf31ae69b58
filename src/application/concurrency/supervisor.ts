import { pause } from './pause.js';
import type { Leadership } from '../ports/leadership.js';
import type { Logger } from '../ports/logger.js';

export interface WorkerStatus {
  name: string;
  /** `standby`: another process does it. `failing`: it stopped with `error` and is tried again. */
  state: 'standby' | 'running' | 'failing' | 'stopped';
  error?: string;
}

const shortestPauseMs = 100;
const longestPauseMs = 5_000;
/** What is still the same is said again, but not at every attempt. */
const repeatMs = 60_000;

/** Keeps a piece of work going until `stop`: one process at a time, tried again after a failure, each worker on its own. */
export async function supervise(
  status: WorkerStatus, { leadership, logger }: { leadership: Leadership; logger: Logger }, stop: AbortSignal, work: (stop: AbortSignal) => Promise<void>,
): Promise<void> {
  // Whoever does it now is healthy, and so is the one who may take it over.
  const standsBy = () => {
    status.state = 'standby';
    delete status.error;
  };
  let pauseMs = shortestPauseMs;
  let said: { error: string; at: number } | undefined;
  while (!stop.aborted) {
    const began = performance.now();
    try {
      await leadership.lead(status.name, stop, async (lost) => {
        status.state = 'running';
        delete status.error;
        await work(lost);
      }, standsBy);
      standsBy();
    } catch (error) {
      status.state = 'failing';
      status.error = error instanceof Error ? error.message : String(error);
      const at = performance.now();
      if (said?.error !== status.error || at - began > longestPauseMs || at - said.at >= repeatMs) {
        said = { error: status.error, at };
        logger.error({ err: error, worker: status.name }, 'a worker failed and is tried again');
      }
    }
    // A worker that ran for a while has recovered: its next failure is a new one.
    if (performance.now() - began > longestPauseMs) pauseMs = shortestPauseMs;
    await pause(pauseMs, stop);
    pauseMs = Math.min(pauseMs * 2, longestPauseMs);
  }
  status.state = 'stopped';
}
