import { existsSync } from 'node:fs';
import { access, constants, mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { OperatorError } from './operator-error.js';

/** Makes the data directory where it is missing. @throws OperatorError when it cannot be written */
export async function makeDataDirectory(dataDir: string): Promise<void> {
  try {
    await makeAll(dataDir);
    await access(dataDir, constants.W_OK | constants.X_OK);
  } catch (error) {
    throw new OperatorError(`The data directory ${dataDir} cannot be written (${(error as Error).message}): choose another one with DATA_DIR.`);
  }
}

/** Like `mkdir -p`; Node's own never returns where a file system takes no directories. */
async function makeAll(directory: string): Promise<void> {
  if (existsSync(directory)) return;
  await makeAll(dirname(directory));
  await mkdir(directory).catch((error: NodeJS.ErrnoException) => { if (error.code !== 'EEXIST') throw error; });
}
