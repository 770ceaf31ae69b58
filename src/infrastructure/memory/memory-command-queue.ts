import {
  longestLeaseMs, type CommandEnd, type CommandQueue, type CommandRecord, type CommandStatus, type Lease, type LeaseName, type NewCommand,
} from '../../application/ports/command-queue.js';
import { Rejection } from '../../domain/shared/rejection.js';
import { Wakeable } from '../wakeable.js';

interface Kept {
  /** JSON, so that nobody can change it from outside. */
  command: string;
  commandId: string;
  stream: string;
  deadlineMs: number;
  fence: number;
  state: Pick<CommandRecord, 'status' | 'attempts' | 'startedAt' | 'finishedAt' | 'end'>;
}

const finishedKept = 100_000;

export class MemoryCommandQueue implements CommandQueue {
  private readonly commands = new Map<string, Kept>();
  private readonly keys = new Map<string, string>();
  private readonly streams = new Map<string, Kept[]>();
  /** When each stream's oldest unfinished command may be leased, by `Date.now()`. */
  private readonly due = new Map<Kept, number>();
  private readonly finished: Kept[] = [];
  private readonly news = new Wakeable();

  constructor(private readonly limit: number) {}

  enqueue(command: NewCommand): Promise<CommandRecord> {
    return Promise.resolve().then(() => this.enqueueNow(command));
  }

  find(commandId: string): Promise<CommandRecord | undefined> {
    const kept = this.commands.get(commandId);
    return Promise.resolve(kept && record(kept));
  }

  list({ statuses, limit }: { statuses?: readonly CommandStatus[]; limit: number }): Promise<CommandRecord[]> {
    const wanted = [...this.commands.values()].reverse().filter((kept) => statuses?.includes(statusOf(kept)) ?? true);
    return Promise.resolve(wanted.slice(0, limit).map(record));
  }

  cancel(commandId: string): Promise<CommandRecord | undefined> {
    const kept = this.commands.get(commandId);
    if (kept !== undefined && statusOf(kept) === 'accepted') this.end(kept, { status: 'cancelled' });
    return this.find(commandId);
  }

  depth(): Promise<number> {
    return Promise.resolve(this.commands.size - this.finished.length);
  }

  async lease({ limit, leaseMs, waitMs }: { limit: number; leaseMs: number; waitMs: number }, stop: AbortSignal): Promise<Lease[]> {
    const until = performance.now() + waitMs;
    for (;;) {
      const { seen } = this.news;
      const leases = this.leaseNow(limit, Math.min(leaseMs, longestLeaseMs));
      const left = until - performance.now();
      if (leases.length > 0 || left <= 0 || stop.aborted) return leases;
      const nextDue = Math.max(1, Math.min(...this.due.values()) - Date.now());
      await this.news.wait(seen, Math.min(left, nextDue), stop);
    }
  }

  renew(leases: readonly LeaseName[], leaseMs: number): Promise<string[]> {
    const held = leases.map((lease) => this.held(lease)).filter((kept) => kept?.state.status === 'running') as Kept[];
    for (const kept of held) this.due.set(kept, Date.now() + Math.min(leaseMs, longestLeaseMs));
    return Promise.resolve(held.map(({ commandId }) => commandId));
  }

  finish(lease: LeaseName, end: CommandEnd): Promise<boolean> {
    const kept = this.held(lease);
    if (kept !== undefined && kept.state.end === undefined) this.end(kept, end);
    return Promise.resolve(kept !== undefined);
  }

  private enqueueNow(command: NewCommand): CommandRecord {
    const { commandId, stream, request: { principal, idempotency }, deadline } = command;
    const key = idempotency && JSON.stringify([principal, idempotency.key]);
    const earlier = this.commands.get(commandId) ?? (key === undefined ? undefined : this.commands.get(this.keys.get(key) ?? ''));
    if (earlier !== undefined) {
      const found = record(earlier);
      if (found.request.idempotency?.digest !== idempotency?.digest) throw new Rejection('idempotency.key-reused', { key: idempotency?.key });
      return found;
    }
    if (this.commands.size - this.finished.length >= this.limit) throw new Rejection('queue.full', { limit: this.limit });
    const kept: Kept = {
      command: JSON.stringify(command), commandId, stream, deadlineMs: deadline === undefined ? Infinity : Date.parse(deadline), fence: 0, state: { status: 'accepted', attempts: 0 },
    };
    this.commands.set(commandId, kept);
    if (key !== undefined) this.keys.set(key, commandId);
    const line = this.streams.get(stream);
    if (line === undefined) {
      this.streams.set(stream, [kept]);
      this.due.set(kept, Date.now());
      this.news.wake();
    } else {
      line.push(kept);
    }
    return record(kept);
  }

  private leaseNow(limit: number, leaseMs: number): Lease[] {
    const now = Date.now();
    const leases: Lease[] = [];
    for (const [kept, due] of this.due) {
      if (leases.length === limit) break;
      if (due > now) continue;
      if (statusOf(kept) === 'expired') {
        this.end(kept, { status: 'expired' });
        continue;
      }
      this.due.delete(kept);
      this.due.set(kept, now + leaseMs);
      kept.fence++;
      kept.state = { ...kept.state, status: 'running', attempts: kept.state.attempts + 1, startedAt: kept.state.startedAt ?? new Date(now).toISOString() };
      leases.push({ command: JSON.parse(kept.command) as NewCommand, fence: kept.fence, attempt: kept.state.attempts });
    }
    return leases;
  }

  private held({ command: { commandId }, fence }: LeaseName): Kept | undefined {
    const kept = this.commands.get(commandId);
    return kept?.fence === fence ? kept : undefined;
  }

  private end(kept: Kept, end: CommandEnd): void {
    kept.state = { ...kept.state, status: end.status, finishedAt: new Date().toISOString(), end: structuredClone(end) };
    this.due.delete(kept);
    const rest = (this.streams.get(kept.stream) ?? []).filter((one) => one !== kept);
    const [next] = rest;
    if (next === undefined) {
      this.streams.delete(kept.stream);
    } else {
      this.streams.set(kept.stream, rest);
      if (!this.due.has(next)) this.due.set(next, Date.now());
      this.news.wake();
    }
    this.finished.push(kept);
    if (this.finished.length > finishedKept) this.forget(this.finished.shift());
  }

  private forget(kept: Kept | undefined): void {
    if (kept === undefined) return;
    const { request: { principal, idempotency } } = record(kept);
    this.commands.delete(kept.commandId);
    if (idempotency !== undefined) this.keys.delete(JSON.stringify([principal, idempotency.key]));
  }
}

function statusOf({ state: { status }, deadlineMs }: Kept): CommandStatus {
  return status === 'accepted' && deadlineMs <= Date.now() ? 'expired' : status;
}

function record(kept: Kept): CommandRecord {
  const status = statusOf(kept);
  return { ...(JSON.parse(kept.command) as NewCommand), ...structuredClone(kept.state), status, ...(status === 'expired' && { end: { status } }) };
}
