import {
  longestLeaseMs, type CommandEnd, type CommandQueue, type CommandRecord, type CommandStatus, type Lease, type LeaseName, type NewCommand,
} from '../../../application/ports/command-queue.js';
import type { IdempotencyKey } from '../../../application/ports/event-store.js';
import { pause } from '../../../application/concurrency/pause.js';
import { Rejection } from '../../../domain/shared/rejection.js';
import { Wakeable } from '../../../application/concurrency/wakeable.js';
import type { Database } from '../connection/database.js';
import { outageOf, refusingOutages } from '../connection/outage.js';

interface Row {
  command_id: string;
  command: NewCommand;
  digest: string | null;
  /** `expired` also for a command that is overdue and has not begun. */
  status: CommandStatus;
  fence: number;
  attempts: number;
  started_at: string | null;
  finished_at: string | null;
  outcome: CommandEnd | null;
}

const columns = `command_id, command, digest, fence, attempts, started_at, finished_at, outcome,
  case when status = 'accepted' and deadline <= clock_timestamp() then 'expired' else status end as status`;
const pollMs = 200;
const unavailableAfterMs = 5_000;
const retryMs = 100;
const longestRetryMs = 1_000;
const never = new AbortController().signal;

/** A table in the context's schema. Commands of other processes are found by polling; those of this process wake its workers at once. */
export class PostgresCommandQueue implements CommandQueue {
  private readonly news = new Wakeable();

  constructor(private readonly database: Database, private readonly limit: number) {}

  async enqueue(command: NewCommand): Promise<CommandRecord> {
    const { commandId, stream, request: { principal, idempotency }, deadline } = command;
    const values = [commandId, stream, JSON.stringify(command), principal, idempotency?.key ?? null, idempotency?.digest ?? null, deadline ?? null, this.limit];
    const text = `select ${columns} from enqueue_command($1, $2, $3, $4, $5, $6, $7, $8)`;
    const { rows: [row] } = await this.untilKnown(() => this.query(text, values, 'enqueue-command'));
    if (row === undefined) throw new Rejection('queue.full', { limit: this.limit });
    if (row.digest !== (idempotency?.digest ?? null)) throw new Rejection('idempotency.key-reused', { key: idempotency?.key });
    this.news.wake();
    return record(row);
  }

  async find(name: string | IdempotencyKey): Promise<CommandRecord | undefined> {
    const { rows: [row] } = await refusingOutages('log.unavailable', () => (typeof name === 'string'
      ? this.query(`select ${columns} from commands where command_id = $1`, [name], 'find-command')
      : this.query(`select ${columns} from commands where principal = $1 and key = $2`, [name.principal, name.key])));
    return row && record(row);
  }

  async list({ statuses, limit }: { statuses?: readonly CommandStatus[]; limit: number }): Promise<CommandRecord[]> {
    const { rows } = await refusingOutages('log.unavailable', () => this.query(
      `select * from (select number, ${columns} from commands) as listed
       where $1::text[] is null or status = any($1) order by number desc limit $2`,
      [statuses ?? null, limit]));
    return rows.map(record);
  }

  async cancel(commandId: string): Promise<CommandRecord | undefined> {
    await this.untilKnown(() => this.query('select cancel_command($1)', [commandId]));
    this.news.wake();
    return this.find(commandId);
  }

  async depth(): Promise<number> {
    const { rows: [row] } = await refusingOutages('log.unavailable', () => this.database.statements.query<{ depth: number }>(
      'select count(*) as depth from commands where finished_at is null'));
    return row?.depth ?? 0;
  }

  async lease({ limit, leaseMs, waitMs }: { limit: number; leaseMs: number; waitMs: number }, stop: AbortSignal): Promise<Lease[]> {
    const until = performance.now() + waitMs;
    while (!stop.aborted) {
      const { seen } = this.news;
      const { rows } = await refusingOutages('log.unavailable', () => this.query(
        `select ${columns} from lease_commands($1, $2)`, [limit, Math.min(leaseMs, longestLeaseMs)], 'lease-commands'));
      const overdue = rows.filter(({ status }) => status === 'expired');
      await Promise.all(overdue.map(({ command, fence }) => this.finish({ command, fence }, { status: 'expired' })));
      const leases = rows.filter(({ status }) => status === 'running').map(({ command, fence, attempts }) => ({ command, fence, attempt: attempts }));
      const left = until - performance.now();
      if (leases.length > 0 || left <= 0) return leases;
      if (overdue.length === 0) await this.news.wait(seen, Math.min(left, pollMs), stop);
    }
    return [];
  }

  async renew(leases: readonly LeaseName[], leaseMs: number): Promise<boolean[]> {
    const { rows } = await refusingOutages('log.unavailable', () => this.database.statements.query<{ command_id: string; fence: number }>(
      `update commands c set due = clock_timestamp() + make_interval(secs => $3 / 1000.0) from unnest($1::text[], $2::int[]) as held(command_id, fence)
       where c.command_id = held.command_id and c.fence = held.fence and c.status = 'running' returning c.command_id, c.fence`,
      [leases.map(({ command }) => command.commandId), leases.map(({ fence }) => fence), Math.min(leaseMs, longestLeaseMs)]));
    return leases.map(({ command: { commandId }, fence }) => rows.some((row) => row.command_id === commandId && row.fence === fence));
  }

  async finish({ command: { commandId }, fence }: LeaseName, end: CommandEnd): Promise<boolean> {
    const { rows: [row] } = await refusingOutages('log.unavailable', () => this.database.statements.query<{ kept: boolean }>(
      { name: 'finish-command', text: 'select finish_command($1, $2, $3, $4) as kept', values: [commandId, fence, end.status, JSON.stringify(end)] }));
    this.news.wake();
    return row?.kept === true;
  }

  private query(text: string, values: unknown[], name?: string) {
    return this.database.statements.query<Row>({ text, values, ...(name !== undefined && { name }) });
  }

  /** Retries idempotent work whose answer may be lost after the commit, until the answer is known, or it is time to tell the caller that it is not. */
  private async untilKnown<T>(work: () => Promise<T>): Promise<T> {
    const deadline = performance.now() + unavailableAfterMs;
    for (let pauseMs = retryMs; ; pauseMs = Math.min(pauseMs * 2, longestRetryMs)) {
      try {
        return await work();
      } catch (error) {
        const outage = outageOf(error);
        if (outage === undefined) throw error;
        if (performance.now() + pauseMs >= deadline) throw new Rejection('log.unavailable', { ...outage, outcome: 'unknown' });
      }
      await pause(pauseMs, never);
    }
  }
}

function record({ command, status, attempts, started_at: startedAt, finished_at: finishedAt, outcome }: Row): CommandRecord {
  const end: CommandEnd | null = status === 'expired' ? { status } : outcome;
  return {
    ...command,
    status,
    attempts,
    ...(startedAt !== null && { startedAt }),
    ...(finishedAt !== null && { finishedAt }),
    ...(end !== null && { end }),
  };
}
