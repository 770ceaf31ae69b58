import { Rejection } from '../../domain/shared/rejection.js';
import { formatToken } from '../log/token.js';
import { outcomeOf, type CommandOutcome, type Request } from './execute.js';
import { mayPass } from './passing.js';
import type { Clock } from '../ports/clock.js';
import type { CommandEnd, CommandWork, Lease, NewCommand, Seen } from '../ports/command-queue.js';
import type { EventStore } from '../ports/event-store.js';
import type { Logger } from '../ports/logger.js';
import { pause } from '../concurrency/pause.js';

interface Dependencies {
  queue: CommandWork;
  /** Where a command that was cut short left its result. */
  store: Pick<EventStore, 'findResult'>;
  handle: (command: NewCommand['command'], request: Request, seen?: Seen) => Promise<CommandOutcome>;
  clock: Clock;
  logger: Logger;
}

interface Pace {
  /** Commands under way at once. */
  concurrency: number;
  /** At most `longestLeaseMs`; renewed three times in this time. */
  leaseMs: number;
  /** How long an outage may last before the command is given up. */
  patienceMs: number;
  retryMs: number;
  /** How long a command whose view is behind is put off at first; then twice as long each time, up to 60 times as long. */
  putOffMs: number;
}

const usualPace: Pace = { concurrency: 32, leaseMs: 15_000, patienceMs: 600_000, retryMs: 50, putOffMs: 500 };
/** While a command waits for a view, it takes up one of the `concurrency` places: for this long at most. */
const viewWaitMs = 250;
const longestRetryMs = 2_000;
const waitMs = 1_000;
/** An error that is no refusal may be transient, as a deadlock in the database is; one that persists is a bug. */
const mostSurprises = 3;
/** A command that crashes its process each time must not do so for ever. */
const mostAttempts = 20;

type Ending = Exclude<CommandEnd, { status: 'cancelled' }>;
interface Task { lease: Lease; isHeld: (forMs?: number) => boolean }

/**
 * Executes the commands of a queue until `stop`; any number of workers may share one queue. Each command has its own idempotency key, so one that was cut
 * short anywhere is still done once, and its real outcome is recorded: the next worker finds the result that was stored with the events.
 */
export async function runCommandWorker({ queue, store, handle, clock, logger }: Dependencies, stop: AbortSignal, pace: Partial<Pace> = {}): Promise<void> {
  const { concurrency, leaseMs, patienceMs, retryMs, putOffMs } = { ...usualPace, ...pace };
  const held = new Map<Lease, { until: number }>();
  const underWay = new Set<Promise<void>>();

  // Counted by this process's own clock from before the queue is asked, so that it never takes a lease to be valid for longer than the queue does.
  async function renewAll(): Promise<void> {
    const leases = [...held.keys()];
    if (leases.length === 0) return;
    const until = performance.now() + leaseMs;
    const kept = await queue.renew(leases, leaseMs);
    leases.forEach((lease, index) => {
      const one = held.get(lease);
      // A lost lease stays lost, whatever the answer to an earlier renewal says.
      if (one !== undefined && one.until > 0) one.until = kept[index] === true ? until : 0;
    });
  }

  async function perform(lease: Lease, until: number): Promise<void> {
    const state = { until };
    held.set(lease, state);
    const task = { lease, isHeld: (forMs = 0) => performance.now() + forMs < state.until };
    try {
      const end = await decide(task);
      if (end !== undefined) await record(task, end);
    } finally {
      held.delete(lease);
    }
  }

  /** How the command ended; `undefined` when another worker is to find out. */
  async function decide({ lease, isHeld }: Task): Promise<Ending | undefined> {
    const { command, attempt } = lease;
    const seen = command.seen && { ...command.seen, waitMs: Math.min(command.seen.waitMs, viewWaitMs) };
    const isOverdue = () => command.deadline !== undefined && clock.now().toISOString() >= command.deadline;
    const began = performance.now();
    // The log stores an append some time after it has asked, so a third of the lease must be left by then.
    const request = requestOf(command, () => isHeld(leaseMs / 3));
    // What may be done already must be brought to its end, whatever its deadline says.
    let mayBeDone = attempt > 1;
    let surprises = attempt > mostAttempts ? mostSurprises : 0;
    let trouble: unknown = new Error(`it was begun ${attempt} times and never came to its end`);
    for (let pauseMs = retryMs; isHeld(); pauseMs = Math.min(pauseMs * 2, longestRetryMs)) {
      if (surprises < mostSurprises) {
        try {
          return succeeded(await handle(command.command, request, seen));
        } catch (error) {
          trouble = error;
          if (error instanceof Rejection && !mayPass(error)) return { status: 'refused', code: error.code, details: error.details };
          if (error instanceof Rejection && error.code === 'view.behind') {
            const end = isOverdue() || attempt >= mostAttempts ? await lookUp(command, request, error).catch(() => undefined) : undefined;
            if (end !== undefined) return end.status === 'failed' && isOverdue() ? { status: 'expired' } : end;
            await putOff(lease);
            return undefined;
          }
          if (!(error instanceof Rejection)) surprises++;
          if (!(error instanceof Rejection) || error.details.outcome === 'unknown') mayBeDone = true;
        }
        if (!isHeld()) return undefined;
      }
      if (!mayBeDone && isOverdue()) return { status: 'expired' };
      if (surprises >= mostSurprises || performance.now() - began >= patienceMs) {
        const end = await lookUp(command, request, trouble).catch(() => undefined);
        if (end !== undefined) return end;
      }
      if (stop.aborted) return undefined;
      await pause(pauseMs, stop);
    }
    return undefined;
  }

  /** The view may stay behind for long: the command makes room for others, and is leased again a while later. */
  async function putOff(lease: Lease): Promise<void> {
    held.delete(lease);
    // While the queue is away, the lease ends by itself.
    await queue.renew([lease], putOffMs * Math.min(2 ** (lease.attempt - 1), 60)).catch(() => undefined);
  }

  /** Checks, before a command is given up, whether it was done after all. */
  async function lookUp({ command, commandId, context }: NewCommand, { principal, idempotency }: Request, trouble: unknown): Promise<Ending> {
    const stored = await store.findResult({ principal, key: idempotency?.key ?? '' });
    if (stored !== undefined && stored.digest === idempotency?.digest) return succeeded(outcomeOf(context, stored));
    logger.error({ err: trouble, commandId, type: command.type }, 'a command failed');
    const error = trouble instanceof Error ? trouble.message : String(trouble);
    return trouble instanceof Rejection ? { status: 'failed', error, code: trouble.code } : { status: 'failed', error };
  }

  async function record({ lease, isHeld }: Task, end: Ending): Promise<void> {
    const { command: { commandId, command: { type }, request: { principal, correlationId } } } = lease;
    for (let pauseMs = retryMs; isHeld(); pauseMs = Math.min(pauseMs * 2, longestRetryMs)) {
      try {
        const kept = await queue.finish(lease, end);
        if (!kept) logger.warn({ commandId, type }, 'a command was taken over by another worker');
        // All that is kept of a refused command besides its queue entry: who asked for what, and why not.
        else if (end.status === 'refused') logger.info({ command: type, commandId, code: end.code, principal, correlationId }, 'a command was refused');
        return;
      } catch (error) {
        logger.warn({ err: error, commandId, type }, 'how a command ended could not be kept yet');
      }
      if (stop.aborted) return;
      await pause(pauseMs, stop);
    }
  }

  const heartbeat = setInterval(() => {
    // While the queue is away, leases end by themselves.
    renewAll().catch(() => undefined);
  }, leaseMs / 3);
  try {
    for (let pauseMs = retryMs; !stop.aborted;) {
      if (underWay.size >= concurrency) {
        await Promise.race(underWay);
        continue;
      }
      try {
        const until = performance.now() + leaseMs;
        const leases = await queue.lease({ limit: concurrency - underWay.size, leaseMs, waitMs: Math.min(waitMs, leaseMs / 3) }, stop);
        for (const lease of leases) {
          const work = perform(lease, until).finally(() => underWay.delete(work));
          underWay.add(work);
        }
        pauseMs = retryMs;
      } catch (error) {
        logger.warn({ err: error }, 'the command queue could not be read');
        await pause(pauseMs, stop);
        pauseMs = Math.min(pauseMs * 2, longestRetryMs);
      }
    }
    await Promise.all(underWay);
  } finally {
    clearInterval(heartbeat);
  }
}

function requestOf({ commandId, request: { at, idempotency, ...request } }: NewCommand, mayAppend: () => boolean): Request {
  return {
    ...request,
    commandId,
    causationId: null,
    at: new Date(at),
    idempotency: idempotency ?? { key: `command:${commandId}`, digest: commandId },
    mayAppend,
  };
}

function succeeded(outcome: CommandOutcome): Ending {
  const { body, id, version } = outcome;
  return { status: 'succeeded', body, id, version, token: formatToken(outcome) };
}
