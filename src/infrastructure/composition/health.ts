import type { WorkerStatus } from '../../application/concurrency/supervisor.js';
import { within } from '../../application/concurrency/within.js';
import type { Clock } from '../../application/ports/clock.js';
import type { EventStore, EventStores } from '../../application/ports/event-store.js';
import type { ViewProgress } from '../../application/ports/view-store.js';
import { lagMs } from '../../application/views/progress.js';
import type { ServedView } from './views.js';

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

interface Parts {
  stores: Partial<EventStores>;
  views: readonly ServedView[];
  /** Of the workers that this process runs. */
  statuses: readonly WorkerStatus[];
  clock: Clock;
}

export interface Health {
  /** The parts of the service, and whether they work: asked anew at each call, and none of them for long. */
  components(): Promise<Component[]>;
  viewStates(): Promise<ViewState[]>;
}

export function createHealth({ stores, views, statuses, clock }: Parts): Health {
  return {
    async components() {
      const asked = await Promise.all([
        ...(Object.entries(stores) as [string, EventStore][]).map(([context, store]) => ask(`log of ${context}`, true, () => store.check())),
        // Commands do without the views: one that is away must not take the whole process out of service.
        ...views.map(({ view, store }) => ask(`view ${view.name}`, false, async () => { refuseOld(await store.progress(), clock.now()); })),
      ]);
      return [...asked, ...statuses.map(componentOf)];
    },
    viewStates: () => Promise.all(views.map(async ({ view: { name, revision }, store }): Promise<ViewState> => {
      try {
        return { name, revision, progress: await promptly(() => store.progress()) };
      } catch (error) {
        return { name, revision, progress: undefined, error: (error as Error).message };
      }
    })),
  };
}

function componentOf({ name, state, error }: WorkerStatus): Component {
  const status = state === 'running' ? 'up' : state === 'standby' ? 'standby' : 'down';
  return { name, vital: false, status, ...(error !== undefined && { error }) };
}

async function ask(name: string, vital: boolean, question: () => Promise<unknown>): Promise<Component> {
  try {
    await promptly(question);
    return { name, vital, status: 'up' };
  } catch (error) {
    return { name, vital, status: 'down', error: (error as Error).message };
  }
}

/** Whoever looks at the whole service does not wait long for one silent part of it. */
function promptly<T>(question: () => Promise<T>): Promise<T> {
  return within(componentTimeoutMs, () => new Error('no answer'), question());
}

/** @throws Error that says how old its answers are */
function refuseOld(progress: ViewProgress | undefined, now: Date): void {
  const lag = progress === undefined ? 0 : lagMs(progress, now);
  if (lag > oldAfterMs) throw new Error(`it is ${Math.round(lag / 1_000)} s behind`);
}
