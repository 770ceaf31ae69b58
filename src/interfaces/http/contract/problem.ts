import { Rejection, type RejectionCode } from '../../../domain/shared/rejection.js';
import type { InputError } from '../../schemas/command-schemas.js';

/** What each refusal is over HTTP. The only place where there are status numbers for them; a code that is missing does not compile. */
export const problems: Record<RejectionCode, { status: number; title: string; retryAfter?: number; diskFull?: number }> = {
  'customer.unknown': { status: 404, title: 'There is no such customer' },
  'customer.exists': { status: 409, title: 'There is such a customer already' },
  'customer.suspended': { status: 409, title: 'The customer is suspended' },
  'customer.closed': { status: 409, title: 'The customer is closed' },
  'customer.email-taken': { status: 409, title: 'Another customer has this e-mail address' },
  'customer.has-open-orders': { status: 409, title: 'The customer has open orders' },
  'order.unknown': { status: 404, title: 'There is no such order' },
  'order.exists': { status: 409, title: 'There is such an order already' },
  'order.empty': { status: 422, title: 'The order has no lines' },
  'order.currency-differs': { status: 422, title: 'The order is not in the customer\'s currency' },
  'order.discount-too-large': { status: 422, title: 'A discount is larger than its line' },
  'order.not-approved': { status: 409, title: 'The order is not approved yet' },
  'order.not-shipped': { status: 409, title: 'The order is not shipped yet' },
  'order.already-shipped': { status: 409, title: 'The order is shipped already' },
  'order.already-paid': { status: 409, title: 'The order is paid already, under another reference' },
  'order.rejected': { status: 409, title: 'The order is rejected' },
  'order.cancelled': { status: 409, title: 'The order is cancelled' },
  'money.out-of-range': { status: 422, title: 'An amount is out of range' },
  'money.unknown-currency': { status: 422, title: 'The currency is unknown' },
  'stream.conflict': { status: 409, title: 'Others changed it again and again at the same time', retryAfter: 1 },
  'stream.version-differs': { status: 412, title: 'It is not at the version that was asked for' },
  'stream.unknown-version': { status: 404, title: 'It has no such version' },
  'idempotency.key-reused': { status: 422, title: 'The Idempotency-Key was used for another request' },
  'idempotency.in-progress': { status: 409, title: 'The request with this Idempotency-Key is still running', retryAfter: 1 },
  'command.unknown': { status: 404, title: 'There is no such command' },
  'command.already-started': { status: 409, title: 'The command has been started already' },
  'queue.full': { status: 503, title: 'Too many commands are waiting', retryAfter: 5 },
  'log.unavailable': { status: 503, title: 'The event log cannot be reached', retryAfter: 2, diskFull: 507 },
  'view.behind': { status: 503, title: 'The view has not got so far yet', retryAfter: 1 },
  'view.unavailable': { status: 503, title: 'The query store cannot be reached', retryAfter: 2 },
  'input.invalid': { status: 400, title: 'The request is not valid' },
  'input.malformed': { status: 400, title: 'The body cannot be read' },
  'input.too-large': { status: 413, title: 'The body is too large' },
  'input.unsupported-media-type': { status: 415, title: 'The body must be JSON' },
  'input.cursor-invalid': { status: 400, title: 'The cursor does not belong to this query' },
  'access.unauthenticated': { status: 401, title: 'A valid access token is needed' },
  'access.forbidden': { status: 403, title: 'The access token does not allow this' },
  'access.not-loopback': { status: 403, title: 'Without authentication only the names of this machine are answered' },
  'access.unavailable': { status: 503, title: 'The keys that access tokens are signed with cannot be fetched', retryAfter: 2 },
  'service.busy': { status: 503, title: 'Too many requests are waiting', retryAfter: 1 },
  'route.unknown': { status: 404, title: 'There is nothing here' },
  'route.method-not-allowed': { status: 405, title: 'This cannot be done with that method' },
};

/** RFC 9457. */
export interface Problem {
  type: string;
  title: string;
  status: number;
  detail?: string;
  instance: string;
  errors?: InputError[];
  [fact: string]: unknown;
}

/** @param instance the request's correlation id */
export function problemOf(error: unknown, instance: string): { problem: Problem; headers: Record<string, string> } {
  if (!(error instanceof Rejection)) {
    return { problem: { type: '/problems/internal', title: 'Something went wrong on our side', status: 500, instance }, headers: {} };
  }
  const { status: usual, title, retryAfter, diskFull = usual } = problems[error.code];
  const status = error.details.disk === 'full' ? diskFull : usual;
  const { errors, ...facts } = error.details;
  return {
    problem: {
      ...facts,
      type: `/problems/${error.code}`,
      title,
      status,
      ...(detailOf(facts) !== '' && { detail: detailOf(facts) }),
      instance,
      ...(Array.isArray(errors) && { errors: errors as InputError[] }),
    },
    headers: {
      ...(retryAfter !== undefined && { 'retry-after': String(retryAfter) }),
      ...(error.code === 'access.unauthenticated' && { 'www-authenticate': 'Bearer' }),
    },
  };
}

function detailOf(facts: Record<string, unknown>): string {
  return Object.entries(facts).map(([name, value]) => `${name}: ${String(value)}`).join(', ');
}
