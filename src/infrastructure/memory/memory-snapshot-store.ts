import type { Snapshot, SnapshotStore } from '../../application/ports/snapshot-store.js';

export class MemorySnapshotStore implements SnapshotStore {
  private readonly snapshots = new Map<string, Snapshot>();

  async load(stream: string): Promise<Snapshot | undefined> {
    return Promise.resolve(structuredClone(this.snapshots.get(stream)));
  }

  async save(snapshot: Snapshot): Promise<void> {
    if ((this.snapshots.get(snapshot.stream)?.version ?? 0) <= snapshot.version) this.snapshots.set(snapshot.stream, structuredClone(snapshot));
    return Promise.resolve();
  }
}
