import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import Joi from 'joi';
import type { ConsistencyToken } from '../../../application/ports/event-feed.js';
import type { CustomerCommands } from '../../../application/customers/customer-commands.js';
import type { CommandOutcome, Request } from '../../../application/commands/execute.js';
import type { OrderCommandRequest, OrderCommands } from '../../../application/orders/order-commands.js';
import { partitionOf } from '../../../application/log/partition.js';
import type { EventStore } from '../../../application/ports/event-store.js';
import type { CustomerCommand } from '../../../domain/customers/customer.js';
import { Rejection } from '../../../domain/shared/rejection.js';
import type { Service } from '../../../infrastructure/composition/compose.js';
import { canonical } from '../../schemas/canonical.js';
import { commandFields, customerCommandTypes, identifier, orderCommandTypes, validate, type CommandType } from '../../schemas/command-schemas.js';
import { instant } from '../../schemas/instants.js';
import { share } from '../../../application/concurrency/share.js';
import { parseStrictJson } from '../../schemas/strict-json.js';
import { RejectedLines } from './rejected-lines.js';
import { throughOutages } from './through-outages.js';

/** Lines and bytes read so far, and seconds since the beginning. */
export interface ImportProgress {
  lines: number;
  bytes: number;
  seconds: number;
}

export interface ImportOptions {
  inFlight: number;
  policyTimeoutMs: number;
  rejectedFile: string;
  stop: AbortSignal;
  onProgress: (now: ImportProgress) => void;
  /** How long an outage may last before the import stops. */
  outageMs: number;
  /** Called with the code of an outage while the import waits for its end. */
  onWaiting: (code: string) => void;
}

export interface ImportSummary {
  lines: number;
  applied: number;
  /** Done by an earlier import. */
  replayed: number;
  rejected: number;
  seconds: number;
}

type Line = { id: string; at: string; type: CommandType; customerId?: string; orderId?: string };

interface Importing extends Pick<Service, 'settled' | 'run'> {
  config: Pick<Service['config'], 'partitions'>;
  customerCommands: CustomerCommands;
  orderCommands: OrderCommands;
  customersLog: EventStore;
}

/** Refusals that may only mean that the policies lag behind. */
const passing: ReadonlySet<string> = new Set(['order.not-approved', 'customer.has-open-orders']);
/** Commands that policies react to. */
const consequential: ReadonlySet<CommandType> = new Set(['PlaceOrder', 'PayOrder', 'CancelOrder'] as const);
/** A slow log is no outage. */
const patienceMs = 30_000;
const retries = 5;
const copyWaitMs = 30_000;

/** Runs a file of commands through the same path as HTTP. Lines of one customer or order keep their order; the others run concurrently. */
export async function importLines(service: Importing, file: FileHandle, options: ImportOptions): Promise<ImportSummary> {
  const { inFlight, policyTimeoutMs, rejectedFile, stop, onProgress, outageMs, onWaiting } = options;
  const began = performance.now();
  const summary = { lines: 0, applied: 0, replayed: 0, rejected: 0 };
  const chains = new Map<string, Promise<unknown>>();
  const seen = new Map<string, ConsistencyToken>();
  const buyers = new Map<string, string>();
  /** Customers with lines whose consequences may not be there yet. */
  const unsettled = new Set<string>();
  const patiently = <T>(work: () => Promise<T>) => throughOutages({ outageMs, stop, onWaiting }, work);
  const settled = share(() => patiently(() => service.settled(policyTimeoutMs)));
  const open = new Set<Promise<void>>();
  let failure: Error | undefined;
  const rejected = new RejectedLines(rejectedFile, (error) => { failure ??= error; });
  const workers = new AbortController();
  // When a service runs these workers already, the import's own stand by.
  const running = service.run(['relay', 'projector', 'policies'], workers.signal);
  let bytes = 0;

  try {
    // Latin-1 keeps the bytes as they are: the strict reader checks that they are UTF-8.
    for await (const text of file.readLines({ encoding: 'latin1', autoClose: false })) {
      if (stop.aborted || failure !== undefined) break;
      bytes += text.length + 1;
      summary.lines++;
      if (text.trim() === '') continue;
      const number = summary.lines;
      const line = understand(Buffer.from(text, 'latin1'));
      if (line instanceof Rejection) {
        summary.rejected++;
        rejected.add(number, line, text);
        continue;
      }
      if (line.type === 'PlaceOrder') buyers.set(line.orderId ?? '', line.customerId ?? '');
      const customerId = line.customerId ?? buyers.get(line.orderId ?? '');
      const work: Promise<void> = inOrder(chains, keysOf(line, customerId), () => (failure === undefined ? run(line, customerId) : Promise.reject(failure)))
        .then((outcome) => { summary[outcome.replayed ? 'replayed' : 'applied']++; })
        .catch((error: unknown) => {
          if (!(error instanceof Rejection)) failure ??= error instanceof Error ? error : new Error('a line failed', { cause: error });
          else {
            summary.rejected++;
            rejected.add(number, error, text);
          }
        })
        .finally(() => { open.delete(work); });
      open.add(work);
      if (open.size >= inFlight) await Promise.race(open);
      onProgress({ lines: summary.lines, bytes, seconds: (performance.now() - began) / 1_000 });
    }
    await Promise.all(open);
    await rejected.close();
    if (failure !== undefined && !stop.aborted) throw failure;
    if (!stop.aborted) await settled();
    return { ...summary, seconds: (performance.now() - began) / 1_000 };
  } finally {
    workers.abort();
    await running;
    await rejected.close();
  }

  async function run(line: Line, customerId = ''): Promise<CommandOutcome> {
    // What a customer may do depends on how the policies react to their earlier lines. The import waits for that, so that it always ends in the same
    // streams. So does a cancellation: it is never refused for coming too early, so without the wait it would only sometimes overtake the approval.
    if ((line.customerId !== undefined || line.type === 'CancelOrder') && unsettled.delete(customerId)) await settled();
    if (consequential.has(line.type)) unsettled.add(customerId);
    for (let tries = 1; ; tries++) {
      try {
        return await patiently(() => give(line));
      } catch (error) {
        if (!(error instanceof Rejection) || tries > retries) throw error;
        if (error.code === 'customer.unknown' && line.type === 'PlaceOrder' && await patiently(() => registered(line.customerId ?? ''))) continue;
        if (!passing.has(error.code)) throw error;
        // Once the policies have reacted to everything, a refusal is final.
        if (tries > 1 && error.code !== 'order.not-approved') throw error;
        await settled();
      }
    }
  }

  async function give({ id, at, ...command }: Line): Promise<CommandOutcome> {
    const request: Request = {
      principal: 'import',
      correlationId: `import:${sha256(id).slice(0, 32)}`,
      causationId: null,
      at: new Date(at),
      patienceMs,
      idempotency: { key: id, digest: sha256(canonical({ at, ...command })) },
    };
    if (command.orderId !== undefined || command.type === 'PlaceOrder') {
      const token = seen.get(command.customerId ?? '');
      return service.orderCommands(command as OrderCommandRequest, request, token && { tokens: [token], waitMs: copyWaitMs });
    }
    const outcome = await service.customerCommands(command as CustomerCommand, request);
    seen.set(command.customerId ?? '', outcome);
    return outcome;
  }

  /** Whether the customers' log knows the customer. Then the orders' copy is only behind, and the next attempt waits for it. */
  async function registered(customerId: string): Promise<boolean> {
    if (seen.has(customerId)) return false;
    const last = (await service.customersLog.readStream(`customer-${customerId}`)).at(-1);
    if (last === undefined) return false;
    seen.set(customerId, { context: 'customers', position: last.position, partition: partitionOf(customerId, service.config.partitions) });
    return true;
  }
}

const envelope = {
  id: Joi.string().max(255).pattern(/^[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?$/, 'printable ASCII').required(),
  at: instant.required(),
};

const schemaOf = (type: CommandType, ids: Joi.SchemaMap) => Joi.object({ ...envelope, type: Joi.valid(type), ...commandFields[type], ...ids });

const schemas = new Map<string, Joi.ObjectSchema>([
  ...customerCommandTypes.map((type) => [type, schemaOf(type, { customerId: identifier.required() })] as const),
  ...orderCommandTypes.map((type) => [type, schemaOf(type, { orderId: identifier.required() })] as const),
]);

/** One line, checked. */
export function understand(bytes: Buffer): Line | Rejection {
  try {
    const input = parseStrictJson(bytes);
    const type = (input as { type?: unknown } | null)?.type;
    const schema = typeof type === 'string' ? schemas.get(type) : undefined;
    if (schema === undefined) {
      const message = `must be one of ${[...schemas.keys()].join(', ')}`;
      return new Rejection('input.invalid', { errors: [{ pointer: '/type', message }] });
    }
    const result = validate<Line>(schema, input);
    return 'errors' in result ? new Rejection('input.invalid', { errors: result.errors }) : result.value;
  } catch (error) {
    if (error instanceof Rejection) return error;
    throw error;
  }
}

/** Lines with a common key keep their order: an order's own lines, and those lines of a customer that concern their credit. */
function keysOf({ type, orderId }: Line, customerId: string | undefined): string[] {
  const concernsCredit = orderId === undefined || consequential.has(type);
  const keys: string[] = [];
  if (customerId !== undefined && concernsCredit) keys.push(`customer ${customerId}`);
  if (orderId !== undefined) keys.push(`order ${orderId}`);
  return keys;
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

function inOrder<T>(chains: Map<string, Promise<unknown>>, keys: readonly string[], work: () => Promise<T>): Promise<T> {
  const before = Promise.allSettled(keys.flatMap((key) => chains.get(key) ?? []));
  const mine = before.then(work);
  for (const key of keys) chains.set(key, mine);
  const leave = () => { for (const key of keys) if (chains.get(key) === mine) chains.delete(key); };
  mine.then(leave, leave);
  return mine;
}
