import type { ViewProgress } from '../../application/ports/view-store.js';
import { lagMs } from '../../application/views/progress.js';
import { within } from '../../application/concurrency/within.js';

/** A part of the service, for readiness. `error` says what is wrong with it. */
export interface Component {
  name: string;
  /** The service cannot do its work without it. */
  vital: boolean;
  status: 'up' | 'standby' | 'down';
  error?: string;
}

export interface ViewState {
  name: string;
  revision: number;
  progress: ViewProgress | undefined;
  /** Why nothing is known of it now. */
  error?: string;
}

const componentTimeoutMs = 2_000;
/** A view that is further behind than this is reported as a part that is down. */
const oldAfterMs = 30_000;

export async function ask(name: string, vital: boolean, question: () => Promise<unknown>): Promise<Component> {
  try {
    await promptly(question);
    return { name, vital, status: 'up' };
  } catch (error) {
    return { name, vital, status: 'down', error: (error as Error).message };
  }
}

/** Whoever looks at the whole service does not wait long for one silent part of it. */
export function promptly<T>(question: () => Promise<T>): Promise<T> {
  return within(componentTimeoutMs, () => new Error('no answer'), question());
}

/** @throws Error that says how old its answers are */
export function refuseOld(progress: ViewProgress | undefined, now: Date): void {
  const lag = progress === undefined ? 0 : lagMs(progress, now);
  if (lag > oldAfterMs) throw new Error(`it is ${Math.round(lag / 1_000)} s behind`);
}
