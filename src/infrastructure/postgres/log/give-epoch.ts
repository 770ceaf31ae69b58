import type { Database } from '../connection/database.js';

/** Names a log anew. Its events stay what they are. */
export async function giveEpoch({ writes }: Database, epoch: string): Promise<void> {
  await writes.query('update head set epoch = $1', [epoch]);
}
