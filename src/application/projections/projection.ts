import type { Context, EventOfType, EventType } from '../../domain/events.js';

/** How a field can be asked for. Fields that no query needs are not declared: they are stored and returned all the same. */
export type Field =
  /** Exact values; equality, facets, sorting. */
  | { kind: 'keyword' }
  /** Words: only searched by `q`, never compared. */
  | { kind: 'text' }
  | { kind: 'long' }
  /** ISO 8601 in UTC. */
  | { kind: 'date' }
  | { kind: 'boolean' }
  /** An array of objects; a condition on `lines.sku` holds when one element's does. */
  | { kind: 'nested'; fields: Readonly<Record<string, { kind: 'keyword' | 'text' | 'long' }>> };

type Key = 'orderId' | 'customerId';
type EventWith<K extends Key> = { [T in EventType]: EventOfType<T> extends Record<K, string> ? T : never }[EventType];

/** The document after an event. `document` is `undefined` before the first event of its key. `undefined` returned leaves it as it is. */
type Handlers<D, K extends Key> = {
  [T in EventWith<K>]?: (document: D | undefined, event: EventOfType<T>) => D | undefined;
};

/**
 * A view as data: what a query store needs to know to make its table or index, and how events become documents.
 * The handled event types are the keys of `on`, so no second list can disagree; `key` restricts them to events that have it.
 */
export interface View<D extends object, K extends Key = Key> {
  /** Durable: names tables, indices and consumer groups. */
  name: string;
  /** Raised when fields or handlers change: the view is folded anew. */
  revision: number;
  key: K;
  contexts: readonly Context[];
  /** In whose database it lives: a context's own copy of another's data, or the shared query store. */
  home: Context | 'views';
  fields: Readonly<Record<string, Field>>;
  /** Declared fields whose words `q` searches. */
  searched: readonly string[];
  /** The field that lists are sorted by unless asked otherwise, and the others they may be sorted by. */
  sortable: readonly string[];
  on: Handlers<D, K>;
}

/** Declares a view; written as a function so that the handlers are checked against its key. */
export function view<D extends object>() {
  return <K extends Key>(declaration: View<D, K>): View<D> => declaration as unknown as View<D>;
}
