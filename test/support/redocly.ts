import { execFile } from 'node:child_process';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { packageRoot } from '../../src/infrastructure/process/package-root.js';
import { temporaryDirectory } from './postgres.js';

interface Problem { ruleId: string; message: string; location: { pointer?: string }[] }

/** What the linter finds wrong with an OpenAPI or AsyncAPI document, by its recommended rules but for those in `without`. */
export async function faultsOf(document: object, without: readonly string[] = []): Promise<string[]> {
  const directory = await temporaryDirectory();
  try {
    const file = join(directory, 'document.json');
    await writeFile(file, JSON.stringify(document));
    const { stdout } = await promisify(execFile)(process.execPath, [join(packageRoot, 'node_modules/@redocly/cli/bin/cli.js'), 'lint', '--extends=recommended', '--format=json', ...without.map((rule) => `--skip-rule=${rule}`), file],
      { cwd: directory, env: { ...process.env, REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true' } }).catch((error: unknown) => error as { stdout: string });
    const { problems } = JSON.parse(stdout.slice(stdout.indexOf('{'))) as { problems: Problem[] };
    return problems.map(({ ruleId, message, location }) => `${ruleId} ${location[0]?.pointer ?? ''}: ${message}`);
  } finally {
    await rm(directory, { recursive: true });
  }
}
