/** Every way in which a request can be refused. The codes are public (`/problems/<code>`): they may be added to, never renamed. */
export type RejectionCode =
  | 'customer.unknown'
  | 'customer.exists'
  | 'customer.suspended'
  | 'customer.closed'
  | 'customer.email-taken'
  | 'customer.has-open-orders'
  | 'order.unknown'
  | 'order.exists'
  | 'order.empty'
  | 'order.currency-differs'
  | 'order.discount-too-large'
  | 'order.not-approved'
  | 'order.not-shipped'
  | 'order.already-shipped'
  | 'order.already-paid'
  | 'order.rejected'
  | 'order.cancelled'
  | 'money.out-of-range'
  | 'money.unknown-currency'
  | 'stream.conflict'
  | 'stream.version-differs'
  | 'stream.unknown-version'
  | 'idempotency.key-reused'
  | 'idempotency.in-progress'
  | 'command.unknown'
  | 'command.already-started'
  | 'queue.full'
  | 'log.unavailable'
  | 'view.behind'
  | 'view.unavailable'
  | 'input.invalid'
  | 'input.malformed'
  | 'input.too-large'
  | 'input.unsupported-media-type'
  | 'input.cursor-invalid'
  | 'access.unauthenticated'
  | 'access.forbidden'
  | 'access.not-loopback'
  | 'access.unavailable'
  | 'service.busy'
  | 'route.unknown'
  | 'route.method-not-allowed';

/** A refusal: the request was understood and is not allowed. Thrown, so that it cannot be dropped like a boolean. */
export class Rejection extends Error {
  override readonly name = 'Rejection';

  constructor(
    readonly code: RejectionCode,
    /** Facts that help the reader of the answer: plain JSON, nothing secret. */
    readonly details: Readonly<Record<string, unknown>> = {},
  ) {
    super(typeof details.reason === 'string' ? `${code}: ${details.reason}` : code);
  }
}
