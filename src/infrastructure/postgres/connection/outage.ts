import { Rejection, type RejectionCode } from '../../../domain/shared/rejection.js';

/** Why a server does not serve, in words for a caller: without its files or addresses. */
export interface Outage {
  reason: string;
  disk?: 'full';
}

const unreachable = 'the database cannot be reached';

/** By SQLSTATE. Class 08 (connection) and the rest of class 57 (operator intervention) mean that the server is unavailable. */
const reasons: [RegExp, string][] = [
  [/^53200$/, 'the database has no memory left'],
  [/^53300$/, 'the database takes no more connections'],
  [/^53...$/, 'the database lacks resources'],
  [/^57014$/, 'the database cancelled the statement'],
  [/^57P03$/, 'the database is starting or shutting down'],
  [/^58...$/, 'the database cannot read or write its files'],
  [/^25006$/, 'the database takes no changes: it is read-only'],
  [/^(08|57)...$|^25P03$/, unreachable],
];

// The errors of pg itself, which have no code.
const clientErrors = new RegExp([
  'Connection terminated',
  'Query read timeout',
  'timeout exceeded when trying to connect',
  'connection timeout',
  'Client has encountered a connection error',
  'not queryable',
  'Cannot use a pool after',
].join('|'), 'i');

/** The outage that `error` shows: the server could not be reached, went away, or would not serve now. `undefined` for any other error. */
export function outageOf(error: unknown): Outage | undefined {
  if (!(error instanceof Error)) return undefined;
  if (error instanceof AggregateError) return error.errors.length > 0 && error.errors.every(isOutage) ? { reason: unreachable } : undefined;
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  if (code === '53100' || (code.startsWith('58') && /no space left|quota exceeded/i.test(error.message))) {
    return { reason: 'the disk of the database is full', disk: 'full' };
  }
  const reason = reasons.find(([pattern]) => pattern.test(code))?.[1];
  if (reason !== undefined) return { reason: reason === unreachable ? reason : `${reason} (SQLSTATE ${code})` };
  const isOfSocket = /^E[A-Z]+$/.test(code);
  return isOfSocket || clientErrors.test(error.message) ? { reason: unreachable } : undefined;
}

export function isOutage(error: unknown): boolean {
  return outageOf(error) !== undefined;
}

/** Whether the connection is gone: another server may answer on the next one. */
export function isLost(error: unknown): boolean {
  return outageOf(error)?.reason === unreachable;
}

/** Whether the server takes no changes: a replica, or one whose host has run out of space. */
export function isReadOnly(error: unknown): boolean {
  return (error as { code?: string }).code === '25006';
}

/** Runs `work`; an outage becomes the refusal `code`, anything else stays what it is. */
export async function refusingOutages<T>(code: RejectionCode, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const outage = outageOf(error);
    throw outage === undefined ? error : new Rejection(code, { ...outage });
  }
}
