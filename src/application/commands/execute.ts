import type { Context, EventsOf } from '../../domain/events.js';
import { Rejection } from '../../domain/shared/rejection.js';
import type { Aggregate } from './aggregate.js';
import { inTime, type Deadline } from './deadline.js';
import { partitionOf } from '../log/partition.js';
import type { AppendRequest, EventStore, EventStores, StoredResult, UniqueKey } from '../ports/event-store.js';
import type { Ids } from '../ports/ids.js';
import type { Logger } from '../ports/logger.js';
import type { SnapshotStore } from '../ports/snapshot-store.js';
import { createStreamStates, type Loaded } from './stream-states.js';
import { untraced, type Tracer } from '../ports/tracer.js';

/** Who asks, when, and under which conditions. */
export interface Request {
  principal: string;
  correlationId: string;
  /** The event that a policy reacts to. */
  causationId: string | null;
  /** The id of a command that was accepted before; otherwise a new one is made. */
  commandId?: string;
  /** Business time of the command. */
  at: Date;
  traceparent?: string;
  /** Refuse, as unknown, whatever is not this customer's. */
  onlyCustomer?: string;
  /** Do it once, however often it is asked for; `digest` tells a different request under the same key. */
  idempotency?: { key: string; digest: string };
  /** Refuse unless the stream is at this version. */
  expectedVersion?: number;
  /** Counted from the request: after that, the command is refused and not stored. By default, as long as a caller waits. */
  patienceMs?: number;
  /** Asked just before each append is stored; when it says no, as after a lost lease, nothing is. */
  mayAppend?: () => boolean;
}

/** What a command led to. */
export interface CommandOutcome {
  /** JSON `{id, version, position, events: [type…]}`: the same bytes for every repetition under one idempotency key. */
  body: string;
  id: string;
  context: Context;
  version: number;
  /** Position of the stream's last event. */
  position: number;
  partition: number;
  /** Answered from an earlier request under the same key. */
  replayed: boolean;
}

export type Execute = <C extends Context, Command extends object, State>(
  aggregate: Aggregate<C, Command, State>,
  id: string,
  command: Command,
  request: Request,
) => Promise<CommandOutcome>;

interface Dependencies {
  /** The logs of the contexts that this process serves. */
  stores: Partial<EventStores>;
  snapshots: Partial<Record<Context, SnapshotStore>>;
  ids: Ids;
  logger: Logger;
  partitions: number;
  tracer?: Tracer;
}

const callersPatienceMs = 4_000;
const attempts = 20;

/** Load, decide, append: the one way in which a command becomes events. */
export function createExecute({ stores, snapshots, ids, logger, partitions, tracer = untraced }: Dependencies): Execute {
  // A remembered state is trusted only where the version check of an append confirms it. What never gets there (a refusal, "already so") is decided
  // on what the log says.
  const states = createStreamStates({ snapshots, logger });
  const queues = new Map<string, Promise<unknown>>();
  const running = new Set<string>();

  return async (aggregate, id, command, request) => {
    const stream = aggregate.stream(id);
    const job = () => inTime(
      request.patienceMs ?? callersPatienceMs,
      (deadline) => inOrder(stream, () => attempt(aggregate, id, stream, command, request, deadline)),
    );
    const { idempotency } = request;
    if (idempotency === undefined) return job();
    // As JSON, which keeps them apart: both may contain spaces.
    const key = JSON.stringify([request.principal, idempotency.key]);
    if (running.has(key)) throw new Rejection('idempotency.in-progress', { key: idempotency.key });
    running.add(key);
    try {
      return await job();
    } finally {
      running.delete(key);
    }
  };

  /** This process's commands to one stream run one after another, so that they do not conflict. */
  function inOrder<T>(stream: string, job: () => Promise<T>): Promise<T> {
    const before = queues.get(stream);
    const mine = before === undefined ? job() : before.then(job, job);
    queues.set(stream, mine);
    const leave = () => { if (queues.get(stream) === mine) queues.delete(stream); };
    mine.then(leave, leave);
    return mine;
  }

  async function attempt<C extends Context, Command extends object, State>(
    aggregate: Aggregate<C, Command, State>, id: string, stream: string, command: Command, request: Request, deadline: Deadline,
  ): Promise<CommandOutcome> {
    const store: EventStore<C> | undefined = stores[aggregate.context];
    if (store === undefined) throw new Error(`this process does not serve ${aggregate.context}`);
    for (let tries = 0; tries < attempts; tries++) {
      deadline.check();
      const guess = states.guess(aggregate, store, stream, command);
      const loaded = guess ?? await states.load(aggregate, store, stream);
      const verdict = judge(aggregate, id, command, request, loaded);
      if (guess !== undefined && (verdict instanceof Rejection || verdict.length === 0)) {
        if (await states.reload(aggregate, store, stream, guess) !== guess) continue;
        deadline.check();
      }
      if (verdict instanceof Rejection) {
        const earlier = request.idempotency && await store.findResult({ principal: request.principal, key: request.idempotency.key });
        if (earlier !== undefined) return replay(aggregate.context, earlier, request);
        throw verdict;
      }
      deadline.check();
      const outcome = await deadline.leaveTo(() => append(aggregate, store, id, stream, request, loaded, verdict, deadline.at));
      if (outcome !== 'conflict') return outcome;
      deadline.check();
      await (guess === undefined || guess.version === 0 ? states.load(aggregate, store, stream) : states.reload(aggregate, store, stream, guess));
    }
    throw new Rejection('stream.conflict', { id, attempts });
  }

  async function append<C extends Context, Command, State>(
    aggregate: Aggregate<C, Command, State>, store: EventStore<C>, id: string, stream: string, request: Request,
    loaded: Loaded<State>, events: readonly EventsOf[C][], deadline: number,
  ): Promise<CommandOutcome | 'conflict'> {
    const { context, decider } = aggregate;
    const state = events.reduce((folded, event) => decider.evolve(folded, event), loaded.state);
    const version = loaded.version + events.length;
    const partition = partitionOf(events[0]?.customerId ?? aggregate.customerOf(loaded.state) ?? id, partitions);
    const at = events.length === 0 ? loaded.position : '{position}';
    const template = `{"id":${JSON.stringify(id)},"version":${version},"position":${at},"events":${JSON.stringify(events.map((event) => event.type))}}`;
    const answer = (position: number): CommandOutcome =>
      ({ body: template.replace('{position}', String(position)), id, context, version, position, partition, replayed: false });
    if (events.length === 0 && request.idempotency === undefined) return answer(loaded.position);

    const attributes = {
      'orderfold.context': context,
      'orderfold.stream': stream,
      'orderfold.events': events.map((event) => event.type),
      'orderfold.correlation_id': request.correlationId,
    };
    let eventId: string | undefined;
    const outcome = await tracer.span('append', { parent: request.traceparent, attributes }, async ({ traceparent, set }) => {
      const rest: Partial<AppendRequest<C>> = { deadline, ...heldKeys(aggregate.uniqueKeys(loaded.state), aggregate.uniqueKeys(state)) };
      if (request.mayAppend !== undefined) rest.mayAppend = request.mayAppend;
      if (request.idempotency !== undefined) {
        rest.idempotency = { principal: request.principal, ...request.idempotency, response: JSON.stringify({ partition, body: template }) };
      }
      const asked = withMetadata(stream, request, traceparent, loaded.version, events, rest);
      eventId = asked.events.at(-1)?.metadata.id;
      const stored = await store.append(asked);
      set({ 'orderfold.outcome': stored.status });
      return stored;
    }).catch((error: unknown) => {
      states.forget(stream);
      throw error;
    });
    switch (outcome.status) {
      case 'conflict': return 'conflict';
      case 'duplicate': return replay(context, outcome.stored, request);
      case 'taken': throw new Rejection(aggregate.refusals.taken, { id });
      case 'withdrawn': throw new Rejection('stream.conflict', { id });
      case 'appended': {
        const last = events.at(-1);
        if (last === undefined) return answer(loaded.position);
        const reached: Loaded<State> = { state, version, position: outcome.position, at: last.at, ...(eventId !== undefined && { eventId }) };
        states.remember(aggregate, stream, loaded.version, reached);
        return answer(outcome.position);
      }
    }
  }

  function withMetadata<C extends Context>(
    stream: string, request: Request, traceparent: string | undefined, expectedVersion: number,
    events: readonly EventsOf[C][], rest: Partial<AppendRequest<C>>,
  ): AppendRequest<C> {
    const { principal, correlationId, causationId, commandId = ids.next() } = request;
    const metadata = () => ({ id: ids.next(), correlationId, causationId, principal, commandId, ...(traceparent !== undefined && { traceparent }) });
    return { stream, expectedVersion, events: events.map((data) => ({ data, metadata: metadata() })), ...rest };
  }
}

function judge<C extends Context, Command extends object, State>(
  aggregate: Aggregate<C, Command, State>, id: string, command: Command, request: Request, loaded: Loaded<State>,
): EventsOf[C][] | Rejection {
  try {
    const owner = aggregate.customerOf(loaded.state) ?? ('customerId' in command ? command.customerId : undefined);
    if (request.onlyCustomer !== undefined && owner !== request.onlyCustomer) throw new Rejection(aggregate.refusals.unknown, { id });
    if (request.expectedVersion !== undefined && request.expectedVersion !== loaded.version) {
      throw new Rejection('stream.version-differs', { id, expected: request.expectedVersion, actual: loaded.version });
    }
    const at = request.at.toISOString();
    return aggregate.decider.decide(command, loaded.state, at < loaded.at ? new Date(loaded.at) : request.at);
  } catch (error) {
    if (error instanceof Rejection) return error;
    throw error;
  }
}

function heldKeys(before: readonly UniqueKey[], after: readonly UniqueKey[]) {
  const missingIn = (keys: readonly UniqueKey[]) => (one: UniqueKey) => !keys.some((other) => other.scope === one.scope && other.key === one.key);
  const claims = after.filter(missingIn(before));
  const releases = before.filter(missingIn(after));
  return { ...(claims.length > 0 && { claims }), ...(releases.length > 0 && { releases }) };
}

function replay(context: Context, stored: StoredResult, request: Request): CommandOutcome {
  if (stored.digest !== request.idempotency?.digest) throw new Rejection('idempotency.key-reused', { key: request.idempotency?.key });
  return outcomeOf(context, stored);
}

/** What an earlier request led to. */
export function outcomeOf(context: Context, stored: StoredResult): CommandOutcome {
  const { partition, body } = JSON.parse(stored.response) as { partition: number; body: string };
  const { id, version, position } = JSON.parse(body) as { id: string; version: number; position: number };
  return { body, id, context, version, position, partition, replayed: true };
}
