import type { CheckpointStore } from '../../application/ports/checkpoint-store.js';
import type { Progress } from '../../application/ports/event-feed.js';
import { refusingOutages, type Database } from './database.js';

export class PostgresCheckpointStore implements CheckpointStore {
  constructor(private readonly database: Database) {}

  async load(name: string): Promise<Progress> {
    const { rows } = await refusingOutages('log.unavailable', () => this.database.reads.query<{ source: string; position: number }>(
      'select source, position from checkpoints where name = $1', [name]));
    return Object.fromEntries(rows.map(({ source, position }) => [source, position]));
  }

  async save(name: string, progress: Progress): Promise<void> {
    await refusingOutages('log.unavailable', () => this.database.reads.query(
      `insert into checkpoints (name, source, position) select $1, * from unnest($2::text[], $3::bigint[])
       on conflict (name, source) do update set position = greatest(checkpoints.position, excluded.position)`,
      [name, Object.keys(progress), Object.values(progress)]));
  }
}
