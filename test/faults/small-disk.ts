import { execFile } from 'node:child_process';
import { chmod, open, rm } from 'node:fs/promises';
import { promisify } from 'node:util';
import { temporaryDirectory } from '../support/postgres.js';

const run = promisify(execFile);

/** A directory on a file system of its own. Needs root, to mount it. */
export async function smallDisk(megabytes: number): Promise<{ directory: string; remove(): Promise<void> }> {
  const directory = await temporaryDirectory();
  await run('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', directory]);
  await chmod(directory, 0o755);
  return {
    directory,
    async remove() {
      await run('umount', ['-l', directory]);
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** Until nothing more goes into it. */
export async function fill(path: string): Promise<void> {
  const file = await open(path, 'w');
  try {
    for (const size of [1 << 20, 4_096]) {
      const block = Buffer.alloc(size);
      for (let full = false; !full;) {
        full = await file.write(block).then(({ bytesWritten }) => bytesWritten < size, (error: NodeJS.ErrnoException) => {
          if (error.code === 'ENOSPC') return true;
          throw error;
        });
      }
    }
  } finally {
    await file.close();
  }
}
