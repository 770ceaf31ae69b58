import { open, rm } from 'node:fs/promises';
import { InvalidArgumentError, type Command } from 'commander';
import { OperatorError } from '../../../infrastructure/process/operator-error.js';
import type { ImportProgress, ImportSummary } from '../import/import-lines.js';
import { untilInterrupted, withService } from '../terminal/with-service.js';

const plainLineEveryMs = 2_000;
const outageMs = 60_000;

export function registerImport(program: Command): void {
  program.command('import <file>')
    .description('run a file of commands, one JSON object a line: {id, at, type, …fields}; lines that were done before are not done again')
    .option('--in-flight <n>', 'lines under way at the same time', positive, 64)
    .option('--policy-timeout <seconds>', 'how long a line waits for the policies that it depends on', positive, 30)
    .option('--json', 'print the summary as JSON')
    .addHelpText('after', '\nExit codes: 0 all lines are in, 2 some were refused (see <file>.rejected.ndjson), '
      + '1 it could not run, or an outage lasted longer than a minute (run it again), 130 it was interrupted.')
    .action(async (file: string, options: { inFlight: number; policyTimeout: number; json?: true }) => {
      const input = await open(file).catch((error: unknown) => { throw new OperatorError(`${file} cannot be read (${(error as Error).message}).`); });
      const rejectedFile = `${file}.rejected.ndjson`;
      await rm(rejectedFile, { force: true }).catch((error: unknown) => {
        throw new OperatorError(`${rejectedFile} of an earlier import cannot be removed (${(error as Error).message}).`);
      });
      const { size } = await input.stat();
      const stop = untilInterrupted();
      const progress = options.json ? undefined : showProgress(size);
      try {
        const summary = await withService(async ({ customers, orders, stores: { customers: customersLog }, config, settled, run }) => {
          if (customers === undefined || orders === undefined || customersLog === undefined) {
            throw new OperatorError('An import needs both contexts: CONTEXTS must not name just one.');
          }
          const { importLines } = await import('../import/import-lines.js');
          return importLines({ customerCommands: customers.commands, orderCommands: orders.commands, customersLog, config, settled, run }, input, {
            inFlight: options.inFlight,
            policyTimeoutMs: options.policyTimeout * 1_000,
            rejectedFile,
            stop,
            onProgress: (now) => { progress?.(now); },
            outageMs,
            onWaiting: sayingNowAndThen(),
          });
        });
        if (options.json) console.log(JSON.stringify(summary));
        else console.log(inWords(summary, rejectedFile));
        if (stop.aborted) process.exitCode = 130;
        else if (summary.rejected > 0) process.exitCode = 2;
      } finally {
        await input.close();
      }
    });
}

/** Shows one line that is overwritten on a terminal; elsewhere prints a plain one every two seconds. */
function showProgress(size: number): (now: ImportProgress) => void {
  const terminal = process.stderr.isTTY;
  let last = 0;
  return ({ lines, bytes, seconds }) => {
    if (performance.now() - last < (terminal ? 100 : plainLineEveryMs)) return;
    last = performance.now();
    const left = bytes === 0 ? 0 : seconds * (size - bytes) / bytes;
    const percent = Math.round(100 * bytes / Math.max(size, 1));
    const text = `${lines} lines, ${perSecond(lines, seconds)}/s, ${percent} %, about ${Math.ceil(left)} s left`;
    process.stderr.write(terminal ? `\r\u001b[K${text}` : `${text}\n`);
  };
}

/** Prints what the import waits for, at most every two seconds. */
function sayingNowAndThen(): (code: string) => void {
  let last = -Infinity;
  return (code) => {
    if (performance.now() - last < plainLineEveryMs) return;
    last = performance.now();
    process.stderr.write(`${process.stderr.isTTY ? '\r\u001b[K' : ''}waiting: ${code}\n`);
  };
}

function inWords({ lines, applied, replayed, rejected, seconds }: ImportSummary, rejectedFile: string): string {
  const clear = process.stderr.isTTY ? '\r\u001b[K' : '';
  return `${clear}${lines} lines in ${seconds.toFixed(1)} s (${perSecond(lines, seconds)}/s): `
    + `${applied} applied, ${replayed} there already, ${rejected} rejected${rejected > 0 ? ` (see ${rejectedFile})` : ''}.`;
}

function perSecond(lines: number, seconds: number): number {
  return Math.round(lines / Math.max(seconds, 0.001));
}

function positive(text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new InvalidArgumentError('It must be a whole number above 0.');
  return Number(text);
}
