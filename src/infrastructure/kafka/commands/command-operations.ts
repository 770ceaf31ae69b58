import type { CommandEnd, LeaseName, NewCommand } from '../../../application/ports/command-queue.js';
import { CommandTable, sameWithinMs } from '../../../application/commands/command-table.js';

export type Operation =
  /** Changes nothing: whoever has it back has read everything that was there before. */
  | { type: 'look' }
  | { type: 'enqueue'; command: NewCommand }
  | { type: 'cancel'; commandId: string }
  | { type: 'lease'; limit: number; leaseMs: number }
  | { type: 'renew'; leases: readonly LeaseName[]; leaseMs: number }
  | { type: 'finish'; lease: LeaseName; end: CommandEnd };

/** A record of the topic. */
export interface Written {
  id: string;
  /** By the broker's clock: what arrives later is not done, for nobody waits for it any more. */
  by?: number;
  operation: Operation;
}

export const tooLate = Symbol('too late');
/** It was written twice, because an answer was lost. */
export const repeated = Symbol('repeated');

const quietEveryMs = 60_000;

/**
 * What the operations of a topic come to. The same ones in their order, at the broker's times, come to the same in every process, whatever its clock and
 * its settings say, and from whatever quiet moment on it reads them.
 */
export class CommandOperations {
  readonly table = new CommandTable();
  // What is repeated is repeated within its `by`, which is seconds away.
  private ids = { since: 0, recent: new Set<string>(), older: new Set<string>() };
  /** Where nothing waited: whoever begins to read there lacks nothing. The oldest first. */
  private quiet: { offset: bigint; at: number }[] = [];

  /** @returns what it led to: `undefined`, `tooLate` or `repeated` where it led to nothing */
  apply({ id, by = Infinity, operation }: Written, at: number, offset: bigint): unknown {
    if (at > by) return tooLate;
    const result = this.isNew(id, at) ? this.change(operation, at) : repeated;
    if (result === repeated) this.dependsOn(at);
    if (this.table.depth === 0) this.isQuiet({ offset: offset + 1n, at });
    return result;
  }

  /** The last offset before `time` from which on everything can be read without what is before it. */
  lastQuietBefore(time: number): bigint | undefined {
    const index = this.quiet.findLastIndex(({ at }) => at < time);
    this.quiet.splice(0, index);
    return index === -1 ? undefined : this.quiet[0]?.offset;
  }

  /** The last one is kept, and one a minute of those before. */
  private isQuiet(moment: { offset: bigint; at: number }): void {
    const [before, last] = this.quiet.slice(-2);
    if (before !== undefined && last !== undefined && last.at - before.at < quietEveryMs) this.quiet.pop();
    this.quiet.push(moment);
  }

  private isNew(id: string, at: number): boolean {
    if (at - this.ids.since > sameWithinMs) this.ids = { since: at, recent: new Set(), older: this.ids.recent };
    if (this.ids.recent.has(id) || this.ids.older.has(id)) return false;
    this.ids.recent.add(id);
    return true;
  }

  /** Something was taken for a repetition of what came shortly before: whoever began to read in between would not know. */
  private dependsOn(at: number): void {
    this.quiet = this.quiet.filter((moment) => moment.at < at - 3 * sameWithinMs);
  }

  private change(operation: Operation, at: number): unknown {
    switch (operation.type) {
      case 'look': return undefined;
      case 'enqueue':
        if (!this.table.enqueue(operation.command, at)) this.dependsOn(at);
        return undefined;
      case 'cancel':
        this.table.cancel(operation.commandId, at);
        return undefined;
      case 'lease': return this.table.lease(operation.limit, operation.leaseMs, at);
      case 'renew': return this.table.renew(operation.leases, operation.leaseMs, at);
      case 'finish': return this.table.finish(operation.lease, operation.end, at);
    }
  }
}
