import type { EventOfType, EventType } from '../../domain/events.js';
import type { RecordedEvent } from '../ports/event-store.js';
import type { Field, Key, View, ViewDeclaration } from '../ports/view-store.js';

type TypeWith<K extends Key> = { [T in EventType]: EventOfType<T> extends Record<K, string> ? T : never }[EventType];

/** The document after an event; `document` is `undefined` before the first one of its key. To return it unchanged, or `undefined`, changes nothing. */
export type Handler<D, T extends EventType> = (document: D | undefined, event: EventOfType<T>, recorded: RecordedEvent) => D | undefined;

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

