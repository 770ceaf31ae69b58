import { InvalidArgumentError, Option, type Command } from 'commander';
import { commandStatuses, type CommandInbox, type CommandRecord, type CommandStatus } from '../../../application/ports/command-queue.js';
import { contexts, type Context } from '../../../domain/events.js';
import { OperatorError } from '../../../infrastructure/process/operator-error.js';
import type { Service } from '../../../infrastructure/composition/compose.js';
import { table } from '../terminal/table.js';
import { withService } from '../terminal/with-service.js';

interface Filter { context?: Context; status?: CommandStatus[]; limit: number; json?: true }

const mostListed = 1_000;

export function registerCommands(program: Command): void {
  const commands = program.command('commands').description('look at the commands that were accepted for later');

  commands.command('list').description('the newest first')
    .addOption(new Option('--context <name>', 'of one context only').choices(contexts))
    .addOption(new Option('--status <names...>', 'of these statuses only').choices(commandStatuses))
    .option('--limit <n>', 'at most', atMost, 20)
    .option('--json', 'as JSON')
    .action(({ context, status, limit, json }: Filter) => withService(async ({ commandQueues }) => {
      const asked = contexts.filter((one) => context === undefined || one === context).map((one) => commandQueues[one]);
      const found = await Promise.all(asked.map(async (queue) => queue?.list({ limit, ...(status !== undefined && { statuses: status }) }) ?? []));
      const listed = found.flat().sort((a, b) => Date.parse(b.request.at) - Date.parse(a.request.at)).slice(0, limit);
      if (json) console.log(JSON.stringify(listed));
      else if (listed.length === 0) console.log('There are none.');
      else console.log(table(listed.map(rowOf)));
    }));

  commands.command('show <commandId>').description('one command, what it asks for and what became of it')
    .option('--json', 'as JSON')
    .action((commandId: string, { json }: { json?: true }) => withService(async (service) => {
      const { record } = await find(service, commandId);
      console.log(JSON.stringify(record, null, json ? 0 : 2));
    }));

  commands.command('cancel <commandId>').description('cancel a command that has not been started')
    .option('--json', 'as JSON')
    .action((commandId: string, { json }: { json?: true }) => withService(async (service) => {
      const { queue } = await find(service, commandId);
      const record = await queue.cancel(commandId);
      if (record?.status !== 'cancelled') throw new OperatorError(`The command ${commandId} cannot be cancelled any more: it is ${record?.status ?? 'gone'}.`);
      console.log(json ? JSON.stringify(record) : `The command ${commandId} (${record.command.type}) is cancelled.`);
    }));
}

async function find({ commandQueues }: Service, commandId: string): Promise<{ queue: CommandInbox; record: CommandRecord }> {
  for (const queue of Object.values(commandQueues)) {
    const record = await queue.find(commandId);
    if (record !== undefined) return { queue, record };
  }
  throw new OperatorError(`There is no command ${commandId}: what ended is kept for IDEMPOTENCY_RETENTION_HOURS.`);
}

function rowOf({ commandId, status, context, command: { type }, stream, request: { at, principal }, attempts, end }: CommandRecord) {
  const why = end?.status === 'refused' ? end.code : end?.status === 'failed' ? end.error : '';
  return { commandId, status, context, type, stream, acceptedAt: at, principal, attempts, why };
}

function atMost(text: string): number {
  const limit = /^\d{1,4}$/.test(text) ? Number(text) : 0;
  if (limit < 1 || limit > mostListed) throw new InvalidArgumentError(`It must be a whole number from 1 to ${mostListed}.`);
  return limit;
}
