import {
  longestLeaseMs, type CommandEnd, type CommandRecord, type CommandStatus, type Lease, type LeaseName, type NewCommand,
} from '../ports/command-queue.js';
import type { IdempotencyKey } from '../ports/event-store.js';
import { Rejection } from '../../domain/shared/rejection.js';

interface Kept {
  /** JSON, so that nobody can change it from outside. */
  command: string;
  commandId: string;
  stream: string;
  deadlineMs: number;
  fence: number;
  /** `Infinity` while it is not finished. */
  finishedMs: number;
  state: Pick<CommandRecord, 'status' | 'attempts' | 'startedAt' | 'finishedAt' | 'end'>;
}

/** About 130 MB, at 1.3 kB each. */
const mostFinished = 100_000;
/** A command that is handed in again within this time of its end is always recognised as a duplicate. */
export const sameWithinMs = 60_000;

/** The state of a queue's commands: a function of the operations so far and of the times that came with them (milliseconds since 1970). */
export class CommandTable {
  private readonly commands = new Map<string, Kept>();
  private readonly keys = new Map<string, string>();
  private readonly streams = new Map<string, Kept[]>();
  /** When each stream's oldest unfinished command may be leased. */
  private readonly due = new Map<Kept, number>();
  private readonly finished: Kept[] = [];
  private unfinished = 0;
  /** Finished commands are forgotten so many at a time: removing one from the front of a long array costs as much as removing many. */
  private readonly forgottenAtOnce: number;

  /** @param finishedKept how many of the newest finished commands are remembered; up to a hundredth more are */
  constructor(private readonly finishedKept = mostFinished) {
    this.forgottenAtOnce = finishedKept / 100;
  }

  /** How many are not finished. */
  get depth(): number {
    return this.unfinished;
  }

  /** When the next command may be leased, or any time that has passed when one may be now; `Infinity` when none waits. */
  nextDue(now: number): number {
    let next = Infinity;
    for (const due of this.due.values()) {
      if (due <= now) return due;
      next = Math.min(next, due);
    }
    return next;
  }

  find(name: string | IdempotencyKey, now: number): CommandRecord | undefined {
    const kept = this.commands.get(typeof name === 'string' ? name : this.keys.get(textOf(name)) ?? '');
    return kept && record(kept, now);
  }

  list({ statuses, limit }: { statuses?: readonly CommandStatus[]; limit: number }, now: number): CommandRecord[] {
    const wanted = [...this.commands.values()].reverse().filter((kept) => statuses?.includes(statusOf(kept, now)) ?? true);
    return wanted.slice(0, limit).map((kept) => record(kept, now));
  }

  cancel(commandId: string, now: number): void {
    const kept = this.commands.get(commandId);
    if (kept !== undefined && statusOf(kept, now) === 'accepted') this.end(kept, { status: 'cancelled' }, now);
  }

  renew(leases: readonly LeaseName[], leaseMs: number, now: number): boolean[] {
    return leases.map((lease) => {
      const kept = this.held(lease);
      if (kept?.state.status !== 'running') return false;
      this.due.set(kept, now + Math.min(leaseMs, longestLeaseMs));
      return true;
    });
  }

  finish(lease: LeaseName, end: CommandEnd, now: number): boolean {
    const kept = this.held(lease);
    if (kept !== undefined && kept.state.end === undefined) this.end(kept, end, now);
    return kept !== undefined;
  }

  /** The command that is kept under this id or key already. */
  earlier(command: NewCommand, now: number): CommandRecord | undefined {
    const kept = this.under(command);
    return kept && record(kept, now);
  }

  /**
   * A duplicate of a command that is not finished, or has been for less than `sameWithinMs`, changes nothing. Tables may differ in what they remember
   * for longer, so nothing depends on that.
   * @returns whether it is new
   */
  enqueue(command: NewCommand, now: number): boolean {
    const { commandId, stream, request: { principal, idempotency }, deadline } = command;
    const earlier = this.under(command);
    if (earlier !== undefined && earlier.finishedMs >= now - sameWithinMs) return false;
    const key = idempotency && textOf({ principal, key: idempotency.key });
    const kept: Kept = {
      command: JSON.stringify(command),
      commandId,
      stream,
      deadlineMs: deadline === undefined ? Infinity : Date.parse(deadline),
      fence: 0,
      finishedMs: Infinity,
      state: { status: 'accepted', attempts: 0 },
    };
    // Deleted first: a new command is the last of the map, also when an old one had its id.
    this.commands.delete(commandId);
    this.commands.set(commandId, kept);
    this.unfinished++;
    if (key !== undefined) this.keys.set(key, commandId);
    const line = this.streams.get(stream);
    if (line === undefined) {
      this.streams.set(stream, [kept]);
      this.due.set(kept, now);
    } else {
      line.push(kept);
    }
    return true;
  }

  lease(limit: number, leaseMs: number, now: number): Lease[] {
    const leases: Lease[] = [];
    for (const [kept, due] of this.due) {
      if (leases.length === limit) break;
      if (due > now) continue;
      if (statusOf(kept, now) === 'expired') {
        this.end(kept, { status: 'expired' }, now);
        continue;
      }
      this.due.delete(kept);
      this.due.set(kept, now + Math.min(leaseMs, longestLeaseMs));
      kept.fence++;
      kept.state = {
        ...kept.state,
        status: 'running',
        attempts: kept.state.attempts + 1,
        startedAt: kept.state.startedAt ?? new Date(now).toISOString(),
      };
      leases.push({ command: JSON.parse(kept.command) as NewCommand, fence: kept.fence, attempt: kept.state.attempts });
    }
    return leases;
  }

  private held({ command: { commandId }, fence }: LeaseName): Kept | undefined {
    const kept = this.commands.get(commandId);
    return kept?.fence === fence ? kept : undefined;
  }

  private under({ commandId, request: { principal, idempotency } }: NewCommand): Kept | undefined {
    const kept = this.commands.get(commandId);
    if (kept !== undefined || idempotency === undefined) return kept;
    return this.commands.get(this.keys.get(textOf({ principal, key: idempotency.key })) ?? '');
  }

  private end(kept: Kept, end: CommandEnd, now: number): void {
    kept.state = { ...kept.state, status: end.status, finishedAt: new Date(now).toISOString(), end: structuredClone(end) };
    kept.finishedMs = now;
    this.due.delete(kept);
    const line = this.streams.get(kept.stream) ?? [];
    line.splice(line.indexOf(kept), 1);
    const [next] = line;
    if (next === undefined) this.streams.delete(kept.stream);
    else if (!this.due.has(next)) this.due.set(next, now);
    this.unfinished--;
    this.finished.push(kept);
    if (this.finished.length >= this.finishedKept + this.forgottenAtOnce) this.forgetOldest(now);
  }

  private forgetOldest(now: number): void {
    const recent = this.finished.slice(0, this.forgottenAtOnce).findIndex(({ finishedMs }) => finishedMs >= now - sameWithinMs);
    for (const kept of this.finished.splice(0, recent === -1 ? this.forgottenAtOnce : recent)) {
      const { commandId, request: { principal, idempotency } } = JSON.parse(kept.command) as NewCommand;
      const key = idempotency && textOf({ principal, key: idempotency.key });
      if (key !== undefined && this.keys.get(key) === commandId) this.keys.delete(key);
      // Another command may have the same id by now.
      if (this.commands.get(commandId) === kept) this.commands.delete(commandId);
    }
  }
}

function textOf({ principal, key }: IdempotencyKey): string {
  return JSON.stringify([principal, key]);
}

function statusOf({ state: { status }, deadlineMs }: Kept, now: number): CommandStatus {
  return status === 'accepted' && deadlineMs <= now ? 'expired' : status;
}

function record(kept: Kept, now: number): CommandRecord {
  const status = statusOf(kept, now);
  return { ...(JSON.parse(kept.command) as NewCommand), ...structuredClone(kept.state), status, ...(status === 'expired' && { end: { status } }) };
}

/** @throws Rejection `idempotency.key-reused` when it was kept for another request */
export function ofSameRequest(kept: CommandRecord, { request: { idempotency } }: NewCommand): CommandRecord {
  if (kept.request.idempotency?.digest !== idempotency?.digest) throw new Rejection('idempotency.key-reused', { key: idempotency?.key });
  return kept;
}
