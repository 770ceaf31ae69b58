import type { Context, EventOfType, EventType } from '../../domain/events.js';
import type { RecordedEvent } from '../ports/event-store.js';

/** How a field can be asked for. A field that no query needs is not declared: it is stored and returned all the same. */
export type Field =
  /** Exact values: equality, facets, sorting. `lookup`: lists of one value are asked for often, or of a rare one, so it is worth an index in the first sort order. */
  | { kind: 'keyword'; lookup?: true }
  /** Words that `q` searches; never compared. */
  | { kind: 'text' }
  | { kind: 'long' }
  /** ISO 8601 in UTC with milliseconds, as events have it: its order as text is its order in time. */
  | { kind: 'date' }
  | { kind: 'boolean' }
  /** An array of objects: a condition on `lines.sku` holds when one element's value does. */
  | { kind: 'nested'; fields: Readonly<Record<string, { kind: 'keyword' | 'text' }>> };

export type Key = 'orderId' | 'customerId';
type TypeWith<K extends Key> = { [T in EventType]: EventOfType<T> extends Record<K, string> ? T : never }[EventType];

/** The document after an event; `document` is `undefined` before the first one of its key. To return it unchanged, or `undefined`, changes nothing. */
export type Handler<D, T extends EventType> = (document: D | undefined, event: EventOfType<T>, recorded: RecordedEvent) => D | undefined;

/** What every view says of itself: enough to make its table or index, and to know what can be asked of it. */
export interface ViewDeclaration {
  /** Durable: names tables, indices and consumer groups. */
  name: string;
  /** Raised when fields or handlers change: the view is then folded anew. */
  revision: number;
  key: Key;
  contexts: readonly Context[];
  /** Whose service folds it, and answers from it. */
  servedBy: Context;
  /** Whose database it lives in: a context's, for its own copy of another's data, or the query store. */
  home: Context | 'views';
  /** By path into the document. */
  fields: Readonly<Record<string, Field>>;
  /** Paths of the declared fields whose words `q` searches. */
  searched: readonly string[];
  /** Paths that lists may be sorted by. */
  sortable: readonly string[];
  /** The event that a document begins with, if there is just one: a document need not be looked for before it. */
  begins?: EventType;
}

/** A view as data. What it handles are the keys of `on`, so no second list can disagree. */
export interface View<D extends object> extends ViewDeclaration {
  on: Readonly<Partial<Record<EventType, (document: D | undefined, event: never, recorded: RecordedEvent) => D | undefined>>>;
}

/** Checks the handlers against the key: one for an event without it does not compile. */
export function view<D extends object>() {
  return <K extends Key>(declaration: ViewDeclaration & { key: K; on: { [T in TypeWith<K>]?: Handler<D, T> } }): View<D> => declaration;
}

/** The values at a path of the document; several for a nested field. */
export function valuesAt(document: object, path: string): (string | number | boolean)[] {
  let values: unknown[] = [document];
  for (const name of path.split('.')) {
    values = values.flatMap((value) => (typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined));
  }
  return values.filter((value) => typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean');
}

/** The declared field at a path. Queries are written by us: an undeclared one is a bug. */
export function fieldAt(view: ViewDeclaration, path: string): Field {
  const direct = view.fields[path];
  if (direct !== undefined) return direct;
  const dot = path.lastIndexOf('.');
  const outer = view.fields[path.slice(0, dot)];
  const inner = outer?.kind === 'nested' ? outer.fields[path.slice(dot + 1)] : undefined;
  if (inner === undefined) throw new Error(`${view.name} declares no field ${path}`);
  return inner;
}

