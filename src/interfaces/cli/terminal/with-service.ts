import type { Service } from '../../../infrastructure/composition/compose.js';
import { processEnvironment, readConfig } from '../../../infrastructure/process/config.js';
import { OperatorError } from '../../../infrastructure/process/operator-error.js';

/** Runs `work` on the configured data, beside a running service or without one, and closes everything afterwards. */
export async function withService<T>(work: (service: Service) => Promise<T>): Promise<T> {
  const config = readConfig({ LOG_LEVEL: 'warn', ...processEnvironment() });
  if (config.profile === 'memory') throw new OperatorError('PROFILE=memory keeps its data inside the running service: there is nothing here to work on.');
  // Loaded once it is clear that it is needed: most of the time that a command takes to start.
  const { compose } = await import('../../../infrastructure/composition/compose.js');
  const service = await compose(config);
  try {
    return await work(service);
  } finally {
    await service.close();
  }
}

const impatientAfterMs = 1_000;

/** Aborted at the first SIGINT or SIGTERM; a later one ends the process at once. */
export function untilInterrupted(): AbortSignal {
  const stop = new AbortController();
  let first: number | undefined;
  const onSignal = () => {
    // npm hands on a Ctrl-C that the terminal has sent to us as well: that is not impatience.
    first ??= performance.now();
    if (performance.now() - first > impatientAfterMs) process.exit(130);
    stop.abort();
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  return stop.signal;
}
