import type { Snapshot, SnapshotStore } from '../../../application/ports/snapshot-store.js';
import type { Database } from '../connection/database.js';
import { refusingOutages } from '../connection/outage.js';

export class PostgresSnapshotStore implements SnapshotStore {
  constructor(private readonly database: Database) {}

  async load(stream: string): Promise<Snapshot | undefined> {
    const { rows } = await refusingOutages('log.unavailable', () => this.database.statements.query<Snapshot>(
      { name: 'load-snapshot', text: 'select stream, version, revision, position, at, state from snapshots where stream = $1', values: [stream] }));
    return rows[0];
  }

  async save({ stream, version, revision, position, at, state }: Snapshot): Promise<void> {
    await refusingOutages('log.unavailable', () => this.database.statements.query(
      `insert into snapshots (stream, version, revision, position, at, state) values ($1, $2, $3, $4, $5, $6)
       on conflict (stream) do update set
         version = excluded.version, revision = excluded.revision, position = excluded.position, at = excluded.at, state = excluded.state
       where snapshots.version <= excluded.version`,
      [stream, version, revision, position, at, JSON.stringify(state)]));
  }
}
