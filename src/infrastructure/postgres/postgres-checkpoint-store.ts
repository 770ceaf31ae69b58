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

  async advance(name: string, expected: Progress, next: Progress): Promise<boolean> {
    // The rows are locked: of two that expect the same, the second one finds it changed. No rows yet is what the first relay of all expects.
    const { rowCount } = await refusingOutages('log.unavailable', () => this.database.reads.query(
      `with held as (select source, position from checkpoints where name = $1 for update),
         same as (select coalesce(jsonb_object_agg(source, position), '{}') = $2::jsonb as ok from held)
       insert into checkpoints (name, source, position)
       select $1, next.source, next.position from unnest($3::text[], $4::bigint[]) as next(source, position), same where same.ok
       on conflict (name, source) do update set position = excluded.position`,
      [name, JSON.stringify(expected), Object.keys(next), Object.values(next)]));
    return (rowCount ?? 0) > 0;
  }
}
