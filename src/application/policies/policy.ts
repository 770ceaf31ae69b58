import type { Context, EventsOf } from '../../domain/events.js';
import { Rejection } from '../../domain/shared/rejection.js';
import type { CommandOutcome, Request } from '../commands/execute.js';
import { mayPass } from '../commands/passing.js';
import { furthest } from '../log/partition.js';
import type { CheckpointStore } from '../ports/checkpoint-store.js';
import type { EventFeed, FeedBatch, Progress } from '../ports/event-feed.js';
import type { RecordedEvent } from '../ports/event-store.js';
import type { Logger } from '../ports/logger.js';
import { untraced, type Tracer } from '../ports/tracer.js';

/** When this happened, then do that: an event of one context leads to a command, usually of the other one. */
export interface Policy<From extends Context, Command> {
  /** Durable: names the checkpoint, the consumer group and the principal of the commands. */
  name: string;
  from: From;
  /** The context that the commands go to: the checkpoint is kept there. */
  to: Context;
  /** What the command goes to. Commands to one target keep the order of their events; after one that failed, the rest are not tried. */
  target: (event: EventsOf[From]) => string;
  on: { [T in EventsOf[From]['type']]?: (event: Extract<EventsOf[From], { type: T }>) => Command };
}

interface Dependencies<Command> {
  feed: EventFeed;
  checkpoints: CheckpointStore;
  handle: (command: Command, request: Request) => Promise<CommandOutcome>;
  logger: Logger;
  tracer?: Tracer;
}

/** Longer than for a caller, because nobody waits for the answer: a slow log is no outage. */
const patienceMs = 30_000;

/** Runs a policy until `stop`. Each event's command is applied once, however often the event is delivered. */
export async function runPolicy<From extends Context, Command>(
  policy: Policy<From, Command>, { feed, checkpoints, handle, logger, tracer = untraced }: Dependencies<Command>, stop: AbortSignal,
): Promise<void> {
  const on = policy.on as Readonly<Record<string, ((event: EventsOf[Context]) => Command) | undefined>>;
  const target = policy.target as (event: EventsOf[Context]) => string;
  const principal = `policy:${policy.name}`;

  async function apply(command: Command, { data, metadata, position }: RecordedEvent): Promise<void> {
    const attributes = { 'orderfold.event': data.type, 'orderfold.correlation_id': metadata.correlationId };
    try {
      await tracer.span(`react ${policy.name}`, { kind: 'consumer', parent: metadata.traceparent, attributes }, ({ traceparent }) => handle(command, {
        principal,
        correlationId: metadata.correlationId,
        causationId: metadata.id,
        patienceMs,
        at: new Date(data.at),
        ...(traceparent !== undefined && { traceparent }),
        idempotency: { key: metadata.id, digest: metadata.id },
      }));
    } catch (error) {
      // A transient refusal is retried; any other one is logged for the operator, and the other commands go on.
      if (!(error instanceof Rejection) || mayPass(error)) throw error;
      logger.error({ policy: policy.name, position, code: error.code }, 'a policy\'s command was refused');
    }
  }

  // Events up to here were reacted to. A feed may deliver them again, from where its slowest source is, when the idempotency keys of their commands are
  // long forgotten.
  let done: Progress = {};

  // The commands of a batch run concurrently, those to one target one after another: a release must not overtake its reservation when an outage holds
  // that up.
  async function onBatch({ events, progress }: FeedBatch): Promise<void> {
    if (events.length === 0) return;
    const lanes = new Map<string, Promise<void>>();
    for (const { source, event } of events) {
      const react = on[event.data.type];
      if (react === undefined || event.position <= (done[source] ?? 0)) continue;
      const command = react(event.data);
      const lane = target(event.data);
      const before = lanes.get(lane);
      lanes.set(lane, before === undefined ? apply(command, event) : before.then(() => apply(command, event)));
    }
    const outcomes = await Promise.allSettled(lanes.values());
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
    await checkpoints.save(policy.name, progress);
    done = furthest(done, progress);
  }

  const reached = async () => (done = furthest(done, await checkpoints.load(policy.name)));
  await feed.run({ group: policy.name, contexts: [policy.from], reached, onBatch }, stop);
}
