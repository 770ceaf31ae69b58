/** One `load` at a time, shared by all that asked before it began: nobody gets an answer that is older than their question. */
export function share<T>(load: () => Promise<T>): () => Promise<T> {
  let running: Promise<unknown> = Promise.resolve();
  let next: Promise<T> | undefined;
  return () => {
    next ??= running.then(() => {
      next = undefined;
      const loading = load();
      running = loading.catch(() => undefined);
      return loading;
    });
    return next;
  };
}
