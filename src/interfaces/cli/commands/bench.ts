import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { OperatorError } from '../../../infrastructure/process/operator-error.js';
import { packageRoot } from '../../../infrastructure/process/package-root.js';

export function registerBench(program: Command): void {
  program.command('bench [only...]')
    .description('measure this machine: each figure as a ratio to a baseline of the same run (needs a checkout with its development dependencies)')
    .option('--json', 'for programs')
    .option('--rounds <n>', 'interleaved rounds of each pair')
    .option('--scale <share>', 'fill less before `growth` and `pages` measure: 0.1 is a tenth')
    .action(async (only: string[], options: { json?: true; rounds?: string; scale?: string }) => {
      const script = join(packageRoot, 'bench/main.ts');
      if (!existsSync(script)) throw new OperatorError('bench runs from a checkout of the repository, after `npm ci`.');
      const flags: string[] = [];
      if (options.json) flags.push('--json');
      if (options.rounds !== undefined) flags.push('--rounds', options.rounds);
      if (options.scale !== undefined) flags.push('--scale', options.scale);
      const child = spawn(process.execPath, ['--expose-gc', '--import', 'tsx', script, ...only, ...flags], { cwd: packageRoot, stdio: 'inherit' });
      process.exitCode = await new Promise<number>((resolve) => child.once('exit', (code) => { resolve(code ?? 1); }));
    });
}
