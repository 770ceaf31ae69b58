import { randomFillSync } from 'node:crypto';
import { v7 } from 'uuid';
import type { Ids } from '../../application/ports/ids.js';

// Random bytes by the page: asking the system for sixteen at a time took a tenth of an append.
const pool = new Uint8Array(4_096);
let used = pool.length;

function rng(): Uint8Array {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  used += 16;
  return pool.slice(used - 16, used);
}

/** UUIDv7. */
export const uuidIds: Ids = { next: () => v7({ rng }) };
