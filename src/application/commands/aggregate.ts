import type { Context, EventsOf } from '../../domain/events.js';
import type { Decider } from '../../domain/shared/decider.js';
import type { RejectionCode } from '../../domain/shared/rejection.js';
import type { UniqueKey } from '../ports/event-store.js';

/** Where a decider's streams live and what of their state the application needs to know. */
export interface Aggregate<C extends Context, Command, State> {
  context: C;
  decider: Decider<Command, State, EventsOf[C]>;
  stream(id: string): string;
  /** Revision of a snapshot's shape. Raise it when the shape changes: older snapshots are then left unread. */
  revision: number;
  /** A state as plain JSON, and back. `entries` measures its size. */
  snapshot: { write(state: State): unknown; read(kept: unknown): State; entries(state: State): number };
  /** The customer that it belongs to; `undefined` while it does not exist. */
  customerOf(state: State): string | undefined;
  /** Keys that no other stream may hold while this one is in `state`. */
  uniqueKeys(state: State): readonly UniqueKey[];
  /** Whether a command begins a stream. It is then first decided as if there were none, which the version check of the append confirms or refutes. */
  begins(command: Command): boolean;
  refusals: { unknown: RejectionCode; taken: RejectionCode };
}
