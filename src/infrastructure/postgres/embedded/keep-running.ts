import type { Logger } from '../../../application/ports/logger.js';
import { pause } from '../../../application/concurrency/pause.js';

interface Watched {
  isRunning: () => Promise<boolean>;
  start: () => Promise<void>;
  logger: Logger;
}

const usualPace = {
  lookMs: 500,
  /** Before a start after one that failed, or whose server soon ended again: each time twice as long. */
  shortestMs: 500,
  longestMs: 30_000,
  /** A server that ran for so long has recovered. */
  provenMs: 60_000,
};

/** Starts a server again whenever it has ended by itself, until `stop`. */
export async function keepRunning({ isRunning, start, logger }: Watched, stop: AbortSignal, pace: Partial<typeof usualPace> = {}): Promise<void> {
  const { lookMs, shortestMs, longestMs, provenMs } = { ...usualPace, ...pace };
  let pauseMs = 0;
  let startedAt = -Infinity;
  const isOver = (): boolean => stop.aborted;
  for (;;) {
    await pause(lookMs, stop);
    if (isOver()) return;
    if (await isRunning()) continue;
    if (performance.now() - startedAt > provenMs) pauseMs = 0;
    logger.error({ pauseMs }, 'the embedded PostgreSQL has ended by itself (killed, out of memory, or its disk is full): it is started again');
    await pause(pauseMs, stop);
    if (isOver()) return;
    pauseMs = Math.min(Math.max(pauseMs * 2, shortestMs), longestMs);
    startedAt = performance.now();
    try {
      await start();
      logger.warn({ tookMs: Math.round(performance.now() - startedAt) }, 'the embedded PostgreSQL runs again');
    } catch (error) {
      logger.error({ err: error, nextInMs: pauseMs }, 'the embedded PostgreSQL could not be started again');
    }
  }
}
