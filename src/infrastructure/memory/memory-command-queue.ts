import type { CommandEnd, CommandQueue, CommandRecord, CommandStatus, Lease, LeaseName, NewCommand } from '../../application/ports/command-queue.js';
import type { IdempotencyKey } from '../../application/ports/event-store.js';
import { Rejection } from '../../domain/shared/rejection.js';
import { Wakeable } from '../../application/concurrency/wakeable.js';
import { CommandTable, ofSameRequest } from '../../application/commands/command-table.js';

export class MemoryCommandQueue implements CommandQueue {
  private readonly table = new CommandTable();
  private readonly news = new Wakeable();

  constructor(private readonly limit: number) {}

  async enqueue(command: NewCommand): Promise<CommandRecord> {
    const now = Date.now();
    const earlier = this.table.earlier(command, now);
    if (earlier !== undefined) return Promise.resolve(ofSameRequest(earlier, command));
    if (this.table.depth >= this.limit) throw new Rejection('queue.full', { limit: this.limit });
    this.table.enqueue(command, now);
    this.news.wake();
    return { ...structuredClone(command), status: 'accepted', attempts: 0 };
  }

  find(name: string | IdempotencyKey): Promise<CommandRecord | undefined> {
    return Promise.resolve(this.table.find(name, Date.now()));
  }

  list(filter: { statuses?: readonly CommandStatus[]; limit: number }): Promise<CommandRecord[]> {
    return Promise.resolve(this.table.list(filter, Date.now()));
  }

  cancel(commandId: string): Promise<CommandRecord | undefined> {
    this.table.cancel(commandId, Date.now());
    this.news.wake();
    return this.find(commandId);
  }

  depth(): Promise<number> {
    return Promise.resolve(this.table.depth);
  }

  async lease({ limit, leaseMs, waitMs }: { limit: number; leaseMs: number; waitMs: number }, stop: AbortSignal): Promise<Lease[]> {
    const until = performance.now() + waitMs;
    for (;;) {
      const { seen } = this.news;
      const leases = this.table.lease(limit, leaseMs, Date.now());
      const left = until - performance.now();
      if (leases.length > 0 || left <= 0 || stop.aborted) return leases;
      await this.news.wait(seen, Math.min(left, Math.max(1, this.table.nextDue(Date.now()) - Date.now())), stop);
    }
  }

  renew(leases: readonly LeaseName[], leaseMs: number): Promise<boolean[]> {
    const renewed = this.table.renew(leases, leaseMs, Date.now());
    // One that is put off is due sooner than whoever waits for it knows.
    this.news.wake();
    return Promise.resolve(renewed);
  }

  finish(lease: LeaseName, end: CommandEnd): Promise<boolean> {
    const kept = this.table.finish(lease, end, Date.now());
    this.news.wake();
    return Promise.resolve(kept);
  }
}
