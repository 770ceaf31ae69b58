/** Lets one process at a time do a piece of work. */
export interface Leadership {
  /**
   * Waits until this process leads `name`, then runs `work` once; others take over when it ends or its process dies.
   * `stop` ends the waiting, and is handed to the work joined with the loss of leadership.
   * `standsBy` is told that another one leads, at least once before this one waits for it.
   * @returns when the work ended; rejects when the work failed
   */
  lead(name: string, stop: AbortSignal, work: (stop: AbortSignal) => Promise<void>, standsBy?: () => void): Promise<void>;
}
