import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The directory of package.json: this file runs from `src/`, `dist/` and `build/src/`. */
export const packageRoot = find(dirname(fileURLToPath(import.meta.url)));

function find(directory: string): string {
  return existsSync(join(directory, 'package.json')) ? directory : find(dirname(directory));
}
