import type { Rejection, RejectionCode } from '../../domain/shared/rejection.js';

const passing: ReadonlySet<RejectionCode> = new Set([
  'log.unavailable',
  'view.unavailable',
  'view.behind',
  'stream.conflict',
  'idempotency.in-progress',
] as const);

/** Whether a refusal is transient: it says nothing of the command itself, which may succeed when it is retried. */
export function mayPass({ code }: Rejection): boolean {
  return passing.has(code);
}
