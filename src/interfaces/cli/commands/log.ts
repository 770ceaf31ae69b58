import { createInterface } from 'node:readline/promises';
import { Option, type Command } from 'commander';
import { contexts, type Context } from '../../../domain/events.js';
import { OperatorError } from '../../../infrastructure/process/operator-error.js';
import { withService } from '../terminal/with-service.js';

interface Options { context: Context; yes?: true }

export function registerLog(program: Command): void {
  const log = program.command('log').description('look after the logs');
  log.command('new-epoch').description('after a log was restored from a backup: fold the views from it anew, and publish all of it again')
    .addOption(new Option('--context <name>', 'whose log').choices(contexts).makeOptionMandatory())
    .option('--yes', 'do not ask')
    .action(({ context, yes }: Options) => withService(async ({ newEpoch, stores }) => {
      const { position = 0 } = await stores[context]?.head() ?? {};
      const question = `The log of ${context} ends at position ${position}. Its views will be folded anew, `
        + 'and readers of its topic will drop what it did not publish. Is every process of the service stopped? [y/N] ';
      if (yes !== true && !await agreed(question)) throw new OperatorError('Nothing was changed.');
      console.log(`The log of ${context} has a new epoch from position ${await newEpoch(context)} on. Start the service again.`);
    }));
}

async function agreed(question: string): Promise<boolean> {
  if (!process.stdin.isTTY) throw new OperatorError('This needs an answer: repeat it with --yes.');
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await terminal.question(question)).trim());
  } finally {
    terminal.close();
  }
}
