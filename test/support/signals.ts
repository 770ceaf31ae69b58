import { getEventListeners } from 'node:events';

/** How much a signal keeps of those who have waited on it: their listeners, and the signals that `AbortSignal.any` has made of it. */
export function keptBy(signal: AbortSignal): number {
  const dependants = Object.getOwnPropertySymbols(signal).find(({ description }) => description === 'kDependantSignals');
  const made = dependants === undefined ? undefined : (signal as unknown as Record<symbol, ReadonlySet<unknown> | undefined>)[dependants];
  return getEventListeners(signal, 'abort').length + (made?.size ?? 0);
}
