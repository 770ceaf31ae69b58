import type { Context } from '../../domain/events.js';
import type { RejectionCode } from '../../domain/shared/rejection.js';
import type { ConsistencyToken } from './event-feed.js';
import type { IdempotencyKey } from './event-store.js';

/** What the caller has seen already: the answer must not be older, so it waits up to `waitMs` for the view. */
export interface Seen {
  tokens: readonly ConsistencyToken[];
  waitMs: number;
}

/** A command that is to be done later, as plain JSON: nothing of it may be lost or changed on its way through a table or a topic. */
export interface NewCommand {
  /** UUIDv7, made before it is handed in: handing in the same one again changes nothing. */
  commandId: string;
  context: Context;
  /** Commands of one stream are done one after the other, in the order in which they were accepted. */
  stream: string;
  command: { readonly type: string };
  /** Who asks, and under which conditions: what the command is executed with. `at` (ISO 8601) is when it was accepted, and its business time. */
  request: {
    principal: string;
    correlationId: string;
    at: string;
    traceparent?: string;
    onlyCustomer?: string;
    /** The caller's own key, when there is one. */
    idempotency?: { key: string; digest: string };
    expectedVersion?: number;
  };
  seen?: Seen;
  /** ISO 8601. Not begun by then, it expires; begun, it is brought to its end. */
  deadline?: string;
}

/** How a command ended. */
export type CommandEnd =
  /** `body`: as a caller who waits would have got it; `token`: a Consistency-Token. */
  | { status: 'succeeded'; body: string; id: string; version: number; token: string }
  | { status: 'refused'; code: RejectionCode; details: Readonly<Record<string, unknown>> }
  /** `error` is for operators. `code`: the outage that lasted too long. */
  | { status: 'failed'; error: string; code?: RejectionCode }
  | { status: 'expired' }
  | { status: 'cancelled' };

export const commandStatuses = ['accepted', 'running', 'succeeded', 'refused', 'failed', 'cancelled', 'expired'] as const;
export type CommandStatus = (typeof commandStatuses)[number];

export interface CommandRecord extends NewCommand {
  status: CommandStatus;
  /** How often it was begun. */
  attempts: number;
  startedAt?: string;
  finishedAt?: string;
  /** How it ended, once it is finished. */
  end?: CommandEnd;
}

/** The right to do one command, for a while. */
export interface Lease {
  command: NewCommand;
  /** Higher with each lease of this command: whoever has a lower one has lost it. */
  fence: number;
  /** 1 when nobody has begun it before. */
  attempt: number;
}

export type LeaseName = Pick<Lease, 'fence'> & { command: Pick<NewCommand, 'commandId'> };

export const longestLeaseMs = 30_000;

/**
 * Where callers hand commands in, and ask what became of them.
 * - What was accepted survives restarts, and is finished once.
 * - A key of a principal names one command: handed in again under it, the first one is answered.
 * @throws Rejection `log.unavailable` when the queue cannot be reached
 */
export interface CommandInbox {
  /**
   * @returns the command as it is kept; an earlier one under the same principal and key, when there is one
   * @throws Rejection `queue.full` (commands that are handed in at the same moment may exceed the limit), `idempotency.key-reused` for another request
   *   under the same key
   */
  enqueue(command: NewCommand): Promise<CommandRecord>;
  /** By its id, or by its caller's own name for it. */
  find(name: string | IdempotencyKey): Promise<CommandRecord | undefined>;
  /** The newest first. */
  list(filter: { statuses?: readonly CommandStatus[]; limit: number }): Promise<CommandRecord[]>;
  /** Ends a command that was not begun. @returns the command as it is then: `cancelled`, or what came first; `undefined` when there is no such command */
  cancel(commandId: string): Promise<CommandRecord | undefined>;
  /** How many are not finished. */
  depth(): Promise<number>;
}

/**
 * Where workers get commands from; any number of them may.
 * - Only the oldest unfinished command of a stream is ever leased: one stream's commands are done in order, those of different streams side by side.
 * - A lease that is not renewed ends after at most 30 s; the command is then leased anew, with a higher fence.
 * - A command whose deadline passes before it is begun is never leased: it becomes `expired`.
 * @throws Rejection `log.unavailable` when the queue cannot be reached
 */
export interface CommandWork {
  /** Up to `limit` commands; waits up to `waitMs`, or until `stop`, while there is none. `leaseMs` is at most `longestLeaseMs`. */
  lease(wanted: { limit: number; leaseMs: number; waitMs: number }, stop: AbortSignal): Promise<Lease[]>;
  /** Prolongs leases. @returns for each of them whether it is still held; one that was lost is never held again */
  renew(leases: readonly LeaseName[], leaseMs: number): Promise<boolean[]>;
  /** Stores how a command ended; repeated under the same fence, it changes nothing. @returns false when another lease was given since: nothing was stored */
  finish(lease: LeaseName, end: Exclude<CommandEnd, { status: 'cancelled' }>): Promise<boolean>;
}

/** The commands of one context that are done later. */
export interface CommandQueue extends CommandInbox, CommandWork {}
export type CommandQueues = Record<Context, CommandQueue>;
