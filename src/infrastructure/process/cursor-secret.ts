import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Config } from './config.js';
import { makeDataDirectory } from './data-directory.js';

/** The secret that signs cursors: configured, or made once and kept with the data, so that a restart does not break anybody's paging. */
export async function cursorSecretOf({ cursorSecret, profile, dataDir }: Config): Promise<string> {
  if (cursorSecret !== undefined) return cursorSecret;
  const made = randomBytes(32).toString('base64url');
  if (profile === 'memory') return made;
  const file = join(dataDir, 'cursor-secret');
  await makeDataDirectory(dataDir);
  try {
    await writeFile(file, made, { mode: 0o600, flag: 'wx' });
    return made;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return readFile(file, 'utf8');
  }
}
