import type { ConsistencyToken } from '../log/token.js';

/** Whose things a request may see; without `onlyCustomer`, everybody's. */
export interface Caller {
  onlyCustomer?: string;
}

/** What the caller has seen already: the answer must not be older, and is waited for. */
export interface Seen {
  tokens: readonly ConsistencyToken[];
  waitMs: number;
}

export function mayBeSeenBy({ onlyCustomer }: Caller, thing: { customerId: string }): boolean {
  return onlyCustomer === undefined || thing.customerId === onlyCustomer;
}
