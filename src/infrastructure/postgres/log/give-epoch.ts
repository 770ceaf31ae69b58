import type { Database } from '../connection/database.js';

/** Names a log anew. Its events stay what they are. */
export async function giveEpoch({ appends }: Database, epoch: string): Promise<void> {
  await appends.query('update head set epoch = $1', [epoch]);
}
