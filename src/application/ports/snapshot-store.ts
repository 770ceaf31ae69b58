/** A stream's state at a version, so that a long stream need not be folded from its beginning. */
export interface Snapshot {
  stream: string;
  version: number;
  /** Revision of the state's shape: a snapshot of another revision is not used. */
  revision: number;
  /** Position of the stream's event at `version`. */
  position: number;
  at: string;
  state: unknown;
}

/** A cache of one context: losing it costs time, nothing else. Keeps the newest snapshot of a stream. */
export interface SnapshotStore {
  load(stream: string): Promise<Snapshot | undefined>;
  /** Stores it unless there is one of a higher version. */
  save(snapshot: Snapshot): Promise<void>;
}
