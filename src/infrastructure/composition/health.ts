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
  /** Why its progress is not known now. */
  error?: string;
}

const componentTimeoutMs = 2_000;
/** A view whose lag is longer than this is reported as a part that is down. */
const oldAfterMs = 30_000;

interface Parts {
  stores: Partial<EventStores>;
  views: readonly ServedView[];
  /** The statuses of the workers that this process runs. */
  statuses: readonly WorkerStatus[];
  clock: Clock;
}

/** Asks every part at each call, and waits for none of them for long. */
export interface Health {
  /** The parts of the service, and whether they work. */
  readiness(): Promise<{ components: Component[]; views: ViewState[] }>;
  viewStates(): Promise<ViewState[]>;
}

export function createHealth({ stores, views, statuses, clock }: Parts): Health {
  const viewStates = () => Promise.all(views.map(async ({ view: { name, revision }, store }): Promise<ViewState> => {
    try {
      return { name, revision, progress: await promptly(() => store.progress()) };
    } catch (error) {
      return { name, revision, progress: undefined, error: (error as Error).message };
    }
  }));
  const logStates = () => Promise.all((Object.entries(stores) as [string, EventStore][]).map(([context, store]) => logOf(context, store)));
  return {
    viewStates,
    async readiness() {
      const [logs, states] = await Promise.all([logStates(), viewStates()]);
      return { components: [...logs, ...states.map((state) => viewOf(state, clock.now())), ...statuses.map(workerOf)], views: states };
    },
  };
}

async function logOf(context: string, store: EventStore): Promise<Component> {
  const log = { name: `log of ${context}`, vital: true };
  try {
    await promptly(() => store.check());
    return { ...log, status: 'up' };
  } catch (error) {
    return { ...log, status: 'down', error: (error as Error).message };
  }
}

/** Not vital, because commands do without views: one that is unavailable must not take the whole process out of service. */
function viewOf({ name, progress, error }: ViewState, now: Date): Component {
  const view = { name: `view ${name}`, vital: false };
  if (error !== undefined) return { ...view, status: 'down', error };
  const lag = progress === undefined ? 0 : lagMs(progress, now);
  return lag > oldAfterMs ? { ...view, status: 'down', error: `it is ${Math.round(lag / 1_000)} s behind` } : { ...view, status: 'up' };
}

function workerOf({ name, state, error }: WorkerStatus): Component {
  const status = state === 'running' ? 'up' : state === 'standby' ? 'standby' : 'down';
  return { name, vital: false, status, ...(error !== undefined && { error }) };
}

/** Limits how long a silent part delays the answer about the whole service. */
function promptly<T>(question: () => Promise<T>): Promise<T> {
  return within(componentTimeoutMs, () => new Error('no answer'), question());
}
