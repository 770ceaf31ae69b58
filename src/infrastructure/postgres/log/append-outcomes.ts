import type { AppendOutcome, AppendRequest } from '../../../application/ports/event-store.js';
import type { OutcomeRow } from './append-batch.js';
import type { Database } from '../connection/database.js';

/** What became of each append of a batch, in their order. */
export function outcomesOf(requests: readonly AppendRequest[], rows: readonly OutcomeRow[]): AppendOutcome[] {
  const byOrd = new Map(rows.map((row) => [row[0], row]));
  return requests.map(({ expectedVersion, events }, index): AppendOutcome => {
    const [, status, position, recordedAt, first, second] = byOrd.get(index + 1) ?? [];
    switch (status) {
      case 'appended': return { status, version: expectedVersion + events.length, position: position ?? 0, recordedAt: recordedAt ?? '' };
      case 'duplicate': return { status, stored: { digest: first ?? '', response: second ?? '' } };
      case 'taken': return { status, key: { scope: first ?? '', key: second ?? '' } };
      case undefined: return { status: 'conflict' };
    }
  });
}

/** Those of a batch that are stored, by their index in it. An append without events is not looked for: repeated, its idempotency key answers. */
export async function lookUp(database: Database, requests: readonly AppendRequest[]): Promise<Map<number, AppendOutcome>> {
  const client = await database.appends.connect();
  try {
    await client.query('begin');
    await client.query('select from head for update');
    const { rows } = await client.query<[ord: number, position: number, recordedAt: string]>({
      text: `select i.ord, e.position, e.recorded_at from unnest($1::text[], $2::int[], $3::text[]) with ordinality as i(stream, version, id, ord)
        join events e on e.stream = i.stream and e.version = i.version and e.metadata ->> 'id' = i.id`,
      values: [
        requests.map(({ stream }) => stream),
        requests.map(({ expectedVersion }) => expectedVersion + 1),
        requests.map(({ events }) => events[0]?.metadata.id ?? null),
      ],
      rowMode: 'array',
    });
    await client.query('rollback');
    client.release();
    return new Map(rows.map(([ord, position, recordedAt]) => {
      const { expectedVersion = 0, events = [] } = requests[ord - 1] ?? {};
      return [ord - 1, { status: 'appended', version: expectedVersion + events.length, position: position + events.length - 1, recordedAt }];
    }));
  } catch (error) {
    client.release(true);
    throw error;
  }
}
