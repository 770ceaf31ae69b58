import type { RejectionCode } from '../../domain/shared/rejection.js';
import { Rejection } from '../../domain/shared/rejection.js';
import { mayBeSeenBy, type Caller } from './caller.js';
import type { Seen } from '../ports/command-queue.js';
import { waitFor } from '../views/wait-for.js';
import type { Place, View, ViewPage, ViewProgress, ViewQuery, ViewStore } from '../ports/view-store.js';
import { notBegun } from '../views/progress.js';

/** Which part of a list, and in which order. */
export interface ListOptions {
  sort: { field: string; descending: boolean };
  limit: number;
  after?: Place;
  /** As in `ViewQuery`. */
  countUpTo?: number;
  facets?: readonly string[];
}

/** Something folded, and how far its view had got: at least so far. */
export interface Folded<T> {
  value: T;
  progress: ViewProgress;
}

/** Lists and single documents of one view, for one caller. */
export interface ViewQueries<D> {
  list(query: ViewQuery, caller: Caller, seen?: Seen): Promise<ViewPage<D>>;
  /** @throws Rejection when there is none, or it is somebody else's */
  one(id: string, caller: Caller, seen?: Seen): Promise<Folded<D>>;
}

export function createViewQueries<D extends { customerId: string }>(view: View<D>, store: ViewStore<D>, unknown: RejectionCode): ViewQueries<D> {
  return {
    async list(query, caller, seen) {
      if (seen !== undefined) await waitFor(view, store, seen.tokens, seen.waitMs);
      // The one place where a list is narrowed to what its caller may see.
      const where = caller.onlyCustomer === undefined ? query.where : [...query.where, { field: 'customerId', in: [caller.onlyCustomer] }];
      return store.find({ ...query, where });
    },
    async one(id, caller, seen) {
      if (seen !== undefined) await waitFor(view, store, seen.tokens, seen.waitMs);
      const progress = await store.progress() ?? notBegun;
      const found = (await store.read([id])).get(id);
      if (found === undefined || found.deleted || !mayBeSeenBy(caller, found.document)) throw new Rejection(unknown, { id });
      return { value: found.document, progress };
    },
  };
}
