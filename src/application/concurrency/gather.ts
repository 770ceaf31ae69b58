/** Makes one `load` of all the ids that are asked for in the same turn of the event loop: nobody waits for more, and a busy service asks once for many. */
export function gather<T>(load: (ids: readonly string[]) => Promise<ReadonlyMap<string, T>>): (id: string) => Promise<T | undefined> {
  let open: { ids: Set<string>; found: Promise<ReadonlyMap<string, T>> } | undefined;
  return async (id) => {
    if (open === undefined) {
      const ids = new Set<string>();
      const found = new Promise<void>((resolve) => { setImmediate(resolve); }).then(() => {
        open = undefined;
        return load([...ids]);
      });
      open = { ids, found };
    }
    open.ids.add(id);
    return (await open.found).get(id);
  };
}
