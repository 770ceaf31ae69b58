import type { ViewProgress } from './ports/view-store.js';

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
