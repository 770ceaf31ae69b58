import type { CheckpointStore } from '../../../application/ports/checkpoint-store.js';
import type { Progress } from '../../../application/ports/event-feed.js';
import type { Database } from '../connection/database.js';
import { refusingOutages } from '../connection/outage.js';

export class PostgresCheckpointStore implements CheckpointStore {
  constructor(private readonly database: Database) {}

  async load(name: string): Promise<Progress> {
    const { rows } = await refusingOutages('log.unavailable', () => this.database.statements.query<{ source: string; position: number }>(
      'select source, position from checkpoints where name = $1', [name]));
    return Object.fromEntries(rows.map(({ source, position }) => [source, position]));
  }

  async save(name: string, progress: Progress): Promise<void> {
    await refusingOutages('log.unavailable', () => this.database.derived.query(
      `insert into checkpoints (name, source, position) select $1, * from unnest($2::text[], $3::bigint[])
       on conflict (name, source) do update set position = greatest(checkpoints.position, excluded.position)`,
      [name, Object.keys(progress), Object.values(progress)]));
  }

  async advance(name: string, expected: Progress, next: Progress): Promise<boolean> {
    return refusingOutages('log.unavailable', async () => {
      const client = await this.database.derived.connect();
      let settled = false;
      try {
        // The table is locked before the statement takes its snapshot. Locks on rows would not be enough: of two callers that expect the same progress, one may
        // add a row that the other cannot see.
        await client.query('begin; lock table checkpoints in share row exclusive mode');
        const { rows } = await client.query<{ ok: boolean }>(
          `with same as (select coalesce(jsonb_object_agg(source, position), '{}') = $2::jsonb as ok from checkpoints where name = $1),
             stored as (
               insert into checkpoints (name, source, position)
               select $1, next.source, next.position from unnest($3::text[], $4::bigint[]) as next(source, position), same where same.ok
               on conflict (name, source) do update set position = excluded.position)
           select ok from same`,
          [name, JSON.stringify(expected), Object.keys(next), Object.values(next)]);
        await client.query('commit');
        settled = true;
        return rows[0]?.ok === true;
      } finally {
        client.release(!settled);
      }
    });
  }
}
