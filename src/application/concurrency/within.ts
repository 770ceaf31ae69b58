/** What `work` comes to, when it does so in time. @throws what `late` makes otherwise; the work goes on */
export async function within<T>(ms: number, late: () => Error, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  try {
    return await Promise.race([work, new Promise<never>((_, reject) => { timer = setTimeout(() => { reject(late()); }, ms); })]);
  } finally {
    clearTimeout(timer);
  }
}
