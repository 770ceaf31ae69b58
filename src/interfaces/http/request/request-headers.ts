import type { IncomingHttpHeaders } from 'node:http';
import type { Seen } from '../../../application/ports/command-queue.js';
import { parseTokens } from '../../../application/log/token.js';
import type { Request } from '../../../application/commands/execute.js';
import { Rejection } from '../../../domain/shared/rejection.js';
import { momentOf } from '../../schemas/instants.js';
import type { Call } from '../routes/route.js';

const defaultWaitSeconds = 5;
const longestWaitSeconds = 30;

/** What the caller has seen, from `Consistency-Token` and `Prefer: wait=<s>`. @throws Rejection `input.invalid` */
export function seenBy(headers: IncomingHttpHeaders): Seen | undefined {
  const token = headers['consistency-token'];
  if (typeof token !== 'string') return undefined;
  const [, seconds] = /(?:^|[,;\s])wait\s*=\s*"?(\d{1,4})"?(?:$|[,;\s])/i.exec(String(headers.prefer ?? '')) ?? [];
  return { tokens: parseTokens(token), waitMs: Math.min(Number(seconds ?? defaultWaitSeconds), longestWaitSeconds) * 1_000 };
}

/** Whether the caller would rather not wait for what a command leads to: `Prefer: respond-async`. */
export function prefersAsync({ prefer }: IncomingHttpHeaders): boolean {
  return /(?:^|[,;\s])respond-async(?:$|[,;\s])/i.test(String(prefer ?? ''));
}

/** `Command-Deadline`; one in the past is returned as well. @throws Rejection `input.invalid` */
export function deadlineOf({ 'command-deadline': text }: IncomingHttpHeaders): Date | undefined {
  if (text === undefined) return undefined;
  const deadline = momentOf(String(text));
  if (deadline === undefined) {
    throw invalid('Command-Deadline', 'must be an instant with Z or an offset, such as 2026-01-31T12:00:00Z, or Sat, 31 Jan 2026 12:00:00 GMT');
  }
  return deadline;
}

/** The conditions of a command. @throws Rejection `input.invalid` */
export function requestOf(call: Call, now: Date): Request {
  const { headers, principal, correlationId, traceparent } = call;
  const key = headers['idempotency-key'];
  if (key !== undefined && (typeof key !== 'string' || !/^[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?$/.test(key))) {
    throw invalid('Idempotency-Key', 'must be 1 to 255 printable ASCII characters');
  }
  const request: Request = { principal: principal.id, correlationId, causationId: null, at: now };
  if (traceparent !== undefined) request.traceparent = traceparent;
  if (principal.customerId !== undefined) request.onlyCustomer = principal.customerId;
  if (key !== undefined) request.idempotency = { key, digest: call.digest() };
  if (headers['if-match'] !== undefined) request.expectedVersion = versionOf(headers['if-match']);
  return request;
}

function versionOf(etag: string): number {
  const [, version] = /^"(\d{1,10})"$/.exec(etag) ?? [];
  if (version === undefined) throw invalid('If-Match', 'must be an ETag as it was given, such as "3"');
  return Number(version);
}

export function invalid(pointer: string, message: string): Rejection {
  return new Rejection('input.invalid', { errors: [{ pointer, message }] });
}
