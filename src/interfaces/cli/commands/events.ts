import { InvalidArgumentError, Option, type Command } from 'commander';
import type { EventStore, EventStores, LogQuery, RecordedEvent } from '../../../application/ports/event-store.js';
import { pause } from '../../../application/concurrency/pause.js';
import { longestTrace, type TraceNode } from '../../../application/queries/traces.js';
import { contexts, type Context } from '../../../domain/events.js';
import { OperatorError } from '../../../infrastructure/process/operator-error.js';
import { untilInterrupted, withService } from '../terminal/with-service.js';

interface Filter { context: Context; stream?: string; type?: string[]; after: number; limit: number; json?: true }

const pageSize = 1_000;
const tailPauseMs = 250;

export function registerEvents(program: Command): void {
  const events = program.command('events').description('read the logs');
  const filtered = (command: Command) => command
    .addOption(new Option('--context <name>', 'whose log').choices(contexts).default('orders'))
    .option('--stream <id>', 'of one stream only, such as order-10248')
    .option('--type <names...>', 'of these event types only')
    .option('--after <position>', 'with a greater position', count, 0)
    .option('--json', 'one JSON object a line');

  filtered(events.command('read').description('print events in order of position'))
    .option('--limit <n>', 'at most', count, Number.MAX_SAFE_INTEGER)
    .action((filter: Filter) => withService(async ({ stores }) => { await read(logOf(stores, filter), filter, filter.limit); }));

  filtered(events.command('tail').description('print events as they come, until Ctrl-C'))
    .action((filter: Filter) => withService(async ({ stores }) => {
      const stop = untilInterrupted();
      for (let { after } = filter; !stop.aborted;) {
        after = await read(logOf(stores, filter), { ...filter, after }, Number.MAX_SAFE_INTEGER, stop);
        await pause(tailPauseMs, stop);
      }
    }));

  events.command('trace <correlationId>').description('print everything that one request caused, in both contexts')
    .option('--json', 'as JSON')
    .action((correlationId: string, { json }: { json?: true }) => withService(async ({ traces }) => {
      const { events: roots, truncated } = await traces(correlationId);
      if (json) console.log(JSON.stringify(roots));
      else if (roots.length === 0) console.log(`Nothing is known of ${correlationId}.`);
      else for (const root of roots) printTree(root, '');
      if (truncated) console.error(`These are the first ${longestTrace} events of ${correlationId}: there are more.`);
    }));
}

function logOf(stores: Partial<EventStores>, { context }: Filter): EventStore {
  const store: EventStore | undefined = stores[context];
  if (store === undefined) throw new OperatorError(`The log of ${context} is not at hand here: see CONTEXTS.`);
  return store;
}

/** @returns the position that the log was read up to */
async function read(store: EventStore, { stream, type, after, json }: Filter, limit: number, stop?: AbortSignal): Promise<number> {
  let at = after;
  for (let left = limit; left > 0 && stop?.aborted !== true;) {
    const query: LogQuery = { after: at, limit: Math.min(left, pageSize), ...(stream !== undefined && { stream }), ...(type !== undefined && { types: type }) };
    const page = await store.readLog(query);
    const lines = page.events.map((event) => (json ? JSON.stringify(event) : line(event)));
    if (lines.length > 0) process.stdout.write(`${lines.join('\n')}\n`);
    at = page.next;
    left -= page.events.length;
    if (page.events.length < query.limit) break;
  }
  return at;
}

function line({ position, recordedAt, stream, version, data }: RecordedEvent): string {
  const { type, at: _at, orderId: _orderId, customerId: _customerId, ...facts } = data as RecordedEvent['data'] & { orderId?: string };
  return `${String(position).padStart(8)}  ${recordedAt}  ${`${stream} v${version}`.padEnd(24)}  ${type.padEnd(22)}  ${shorten(JSON.stringify(facts))}`;
}

function printTree({ event, caused }: TraceNode, indent: string): void {
  const { data, stream, version, context, position, recordedAt, metadata } = event;
  console.log(`${indent}${data.type}  ${stream} v${version}  (${context} ${position}, ${recordedAt}, by ${metadata.principal})`);
  for (const node of caused) printTree(node, `${indent}  `);
}

function shorten(text: string): string {
  return text.length <= 100 ? text : `${text.slice(0, 99)}…`;
}

export function count(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('It must be a whole number.');
  return Number(text);
}
