import { execFile } from 'node:child_process';
import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { packageRoot } from '../../src/infrastructure/process/package-root.js';

const run = promisify(execFile);
const depcruise = join(packageRoot, 'node_modules/dependency-cruiser/bin/dependency-cruise.mjs');

interface Report {
  summary: { totalCruised: number; violations: { from: string; to: string; rule: { name: string } }[] };
}

async function cruise(directory: string, folder = 'src'): Promise<Report['summary']> {
  const args = [depcruise, folder, '--config', join(packageRoot, '.dependency-cruiser.cjs'), '--output-type', 'json'];
  const { stdout } = await run(process.execPath, args, { cwd: directory, maxBuffer: 64 * 1024 * 1024 }).catch((error: unknown) => {
    // Violations are reported through the exit code as well.
    if (typeof error === 'object' && error !== null && 'stdout' in error && error.stdout !== '') return error as { stdout: string };
    throw error;
  });
  return (JSON.parse(stdout) as Report).summary;
}

describe('the layers', function () {
  this.timeout(60_000);

  it('depend only inwards', async () => {
    const { totalCruised, violations } = await cruise(packageRoot);
    expect(violations.map(({ from, to, rule }) => `${rule.name}: ${from} -> ${to}`)).to.deep.equal([]);
    expect(totalCruised).to.be.greaterThan(50);
  });

  it('are really checked: a domain file that imports node is found', async () => {
    await mkdir(join(packageRoot, 'build'), { recursive: true });
    const directory = await mkdtemp(join(packageRoot, 'build/layers-'));
    try {
      await mkdir(join(directory, 'src/domain'), { recursive: true });
      await writeFile(join(directory, 'tsconfig.json'), '{}');
      await writeFile(join(directory, 'package.json'), '{}');
      await writeFile(join(directory, 'src/domain/order.ts'), "import { readFileSync } from 'node:fs';\nexport const read = readFileSync;\n");
      const { violations } = await cruise(directory);
      expect(violations.map(({ rule }) => rule.name)).to.include('domain-imports-nothing');
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});
