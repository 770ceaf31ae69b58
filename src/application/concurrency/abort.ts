/** Calls `react` once `signal` is aborted, soon when it is already. @returns what takes that back: a signal that lives on must not keep those who no longer wait */
export function onAbort(signal: AbortSignal, react: () => void): () => void {
  if (signal.aborted) {
    let wanted = true;
    queueMicrotask(() => { if (wanted) react(); });
    return () => { wanted = false; };
  }
  signal.addEventListener('abort', react, { once: true });
  return () => { signal.removeEventListener('abort', react); };
}

/**
 * Runs `work` with a controller of its own that `stop` aborts as well. In place of `AbortSignal.any`, which leaves 60 to 90 bytes at `stop` with each call,
 * and throws after 2^24 of them.
 */
export async function withController<T>(stop: AbortSignal, work: (own: AbortController) => Promise<T>): Promise<T> {
  const own = new AbortController();
  const release = onAbort(stop, () => { own.abort(); });
  if (stop.aborted) own.abort();
  try {
    return await work(own);
  } finally {
    release();
  }
}
