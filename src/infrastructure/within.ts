/** What `work` comes to, when it does so in time. @throws Error with `message` otherwise; the work goes on */
export async function within<T>(ms: number, message: string, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  try {
    return await Promise.race([work, new Promise<never>((_, reject) => { timer = setTimeout(() => { reject(new Error(message)); }, ms); })]);
  } finally {
    clearTimeout(timer);
  }
}
