import type { PoolClient } from 'pg';
import type { EventCodec } from '../../../application/log/codec.js';
import type { AppendOutcome, AppendRequest } from '../../../application/ports/event-store.js';
import type { Context } from '../../../domain/events.js';
import { Rejection } from '../../../domain/shared/rejection.js';
import { encodeBatch, type OutcomeRow } from './append-batch.js';
import { lookUp, outcomesOf } from './append-outcomes.js';
import type { Database } from '../connection/database.js';
import { isReadOnly, outageOf, type Outage } from '../connection/outage.js';

interface Pending<C extends Context> {
  request: AppendRequest<C>;
  /** `performance.now()` after which it is not sent any more. */
  deadline: number;
  /** The interruptions of the database when the append was decided on. */
  interruptions: number;
  /** From then on only the database knows the outcome. */
  sent: boolean;
  /** Its caller has been answered. */
  over: boolean;
  resolve(outcome: AppendOutcome): void;
  reject(error: unknown): void;
}

export interface AppendLimits {
  /** How long an append without a deadline of its own waits to be sent. */
  patienceMs: number;
  queue: number;
}

const connections = 2;
const smallestBatch = 16;
const largestBatch = 256;
const sweepMs = 50;
/** How much longer the answer to an append that was sent in time is waited for. */
const graceMs = 1_000;
const pauses = { shortestMs: 100, longestMs: 500 };

/**
 * Gathers the appends of a process into batches, so that the lock and the commit are paid once a batch. Each append is answered in time, whatever the database
 * does: stored, not stored, or not known.
 */
export class AppendQueue<C extends Context> {
  /** Why the last batch could not be stored; `undefined` when it was. */
  trouble: Outage | undefined;
  private queue: Pending<C>[] = [];
  private readonly taken = new Set<readonly Pending<C>[]>();
  private committing = 0;
  private scheduled = false;
  private pauseMs = pauses.shortestMs;
  private sweep: NodeJS.Timeout | undefined;

  constructor(
    private readonly database: Database,
    private readonly codec: EventCodec,
    private readonly stored: () => void,
    private readonly limits: AppendLimits,
  ) {}

  append(request: AppendRequest<C>): Promise<AppendOutcome> {
    if (this.queue.length >= this.limits.queue) return Promise.reject(unavailable({ reason: 'too many appends are waiting' }, 'not-stored'));
    return new Promise((resolve, reject) => {
      this.queue.push({
        request,
        deadline: request.deadline ?? performance.now() + this.limits.patienceMs,
        interruptions: this.database.interruptions,
        sent: false,
        over: false,
        resolve,
        reject,
      });
      this.sweep ??= setInterval(() => { this.answerTheLate(); }, sweepMs).unref();
      this.schedule();
    });
  }

  /** Answers those whose deadline is over. An append that was not sent is not stored, and never will be. */
  private answerTheLate(): void {
    const now = performance.now();
    if (this.queue.some((pending) => this.isLate(pending, now))) this.queue = this.queue.filter((pending) => !this.isLate(pending, now));
    for (const pending of [...this.taken].flat()) {
      if (!pending.sent) this.isLate(pending, now);
      else if (!pending.over && pending.deadline + graceMs <= now) this.refuse(pending, 'unknown');
    }
    if (this.queue.length > 0 || this.taken.size > 0) return;
    clearInterval(this.sweep);
    this.sweep = undefined;
  }

  /** Whether the append has been answered. Answers it when its deadline is over, or its caller may not append any more. */
  private isLate(pending: Pending<C>, now: number): boolean {
    if (!pending.over && pending.request.mayAppend?.() === false) {
      pending.over = true;
      pending.resolve({ status: 'withdrawn' });
    }
    if (!pending.over && pending.deadline <= now) this.refuse(pending, 'not-stored');
    return pending.over;
  }

  /** After an interruption another server may answer, with another history of the same length: the command must be decided again on that one. */
  private isOutdated(pending: Pending<C>): boolean {
    if (pending.interruptions === this.database.interruptions || pending.request.expectedVersion === 0) return false;
    pending.over = true;
    pending.resolve({ status: 'conflict' });
    return true;
  }

  private refuse(pending: Pending<C>, outcome: 'not-stored' | 'unknown'): void {
    pending.over = true;
    pending.reject(unavailable(this.trouble ?? { reason: 'the database has not answered in time' }, outcome));
  }

  // By setImmediate, never by a timer: the appends of this turn of the event loop go together, and none waits for more.
  private schedule(): void {
    if (this.scheduled || this.committing >= connections) return;
    this.scheduled = true;
    setImmediate(() => {
      this.scheduled = false;
      while (this.committing < connections) {
        const batch = this.takeBatch();
        if (batch.length === 0) return;
        this.taken.add(batch);
        this.committing++;
        void this.commit(batch).finally(() => {
          this.taken.delete(batch);
          this.committing--;
          this.schedule();
        });
      }
    });
  }

  /** Takes the oldest appends, with each stream, idempotency key and unique key at most once; one that collides waits, and its stream with it. */
  private takeBatch(): Pending<C>[] {
    const size = Math.min(Math.max(Math.ceil(this.queue.length / (connections - this.committing)), smallestBatch), largestBatch);
    const batch: Pending<C>[] = [];
    const waiting: Pending<C>[] = [];
    const used = new Set<string>();
    const now = performance.now();
    for (const pending of this.queue) {
      if (this.isLate(pending, now)) continue;
      const names = namesOf(pending.request);
      if (batch.length < size && !names.some((name) => used.has(name))) batch.push(pending);
      else waiting.push(pending);
      for (const name of names) used.add(name);
    }
    this.queue = waiting;
    return batch;
  }

  private async commit(taken: readonly Pending<C>[]): Promise<void> {
    let client: PoolClient;
    try {
      client = await this.database.appends.connect();
    } catch (error) {
      const outage = outageOf(error);
      if (outage !== undefined) await this.putBack(taken, outage);
      else for (const { reject } of taken) reject(error);
      return;
    }
    const now = performance.now();
    const batch = taken.filter((pending) => !this.isLate(pending, now) && !this.isOutdated(pending));
    if (batch.length === 0) {
      client.release();
      return;
    }
    for (const pending of batch) pending.sent = true;
    try {
      const { rows } = await client.query<OutcomeRow>({ ...encodeBatch(batch.map(({ request }) => request), this.codec), rowMode: 'array' });
      client.release();
      const outcomes = outcomesOf(batch.map(({ request }) => request), rows);
      batch.forEach(({ resolve }, index) => { resolve(outcomes[index] ?? { status: 'conflict' }); });
      this.trouble = undefined;
      this.pauseMs = pauses.shortestMs;
      this.stored();
    } catch (error) {
      client.release(error as Error);
      const outage = outageOf(error);
      // Refused before it did anything.
      if (outage !== undefined && isReadOnly(error)) await this.putBack(batch, outage);
      else if (outage !== undefined) await this.resolveDoubt(batch, outage);
      else if (batch.length > 1) for (const one of batch) await this.commit([one]);
      else batch[0]?.reject(error);
    }
  }

  /** Queues a batch of which nothing is stored again, until the deadlines are over or the database recovers. Retries after a pause that grows. */
  private async putBack(batch: readonly Pending<C>[], outage: Outage): Promise<void> {
    this.trouble = outage;
    for (const pending of batch) pending.sent = false;
    this.queue = [...batch.filter(({ over }) => !over), ...this.queue];
    await this.pause();
  }

  private async pause(): Promise<void> {
    const ms = this.pauseMs;
    this.pauseMs = Math.min(ms * 2, pauses.longestMs);
    await new Promise((resolve) => setTimeout(resolve, ms));
  }

  /**
   * The batch was sent and no answer came, because the connection was lost or the server gave up: it may be stored or not. It is looked up under the lock of
   * the head, which a transaction that is still running would hold. Only appends that are certainly not stored go back into the queue.
   */
  private async resolveDoubt(batch: readonly Pending<C>[], outage: Outage): Promise<void> {
    this.trouble = outage;
    for (let open = batch; open.length > 0; open = open.filter(({ over }) => !over)) {
      try {
        const found = await lookUp(this.database, open.map(({ request }) => request));
        const missing = open.filter((pending, index) => {
          const outcome = found.get(index);
          if (outcome !== undefined) pending.resolve(outcome);
          return outcome === undefined;
        });
        if (found.size > 0) this.stored();
        if (missing.length > 0) await this.putBack(missing, outage);
        return;
      } catch (error) {
        const another = outageOf(error);
        if (another === undefined) {
          for (const { reject } of open) reject(error);
          return;
        }
        this.trouble = another;
      }
      await this.pause();
    }
  }
}

export function unavailable(outage: Outage, outcome: 'not-stored' | 'unknown'): Rejection {
  return new Rejection('log.unavailable', { ...outage, outcome });
}

function namesOf({ stream, idempotency, claims = [], releases = [] }: AppendRequest): string[] {
  const names = [`stream ${stream}`];
  if (idempotency !== undefined) names.push(`key ${idempotency.principal} ${idempotency.key}`);
  for (const { scope, key } of [...claims, ...releases]) names.push(`unique ${scope} ${key}`);
  return names;
}
