import Joi from 'joi';
import type { Aggregate } from '../../../application/commands/aggregate.js';
import type { CommandOutcome, Request } from '../../../application/commands/execute.js';
import type { Clock } from '../../../application/ports/clock.js';
import type { CommandInbox, NewCommand, Seen } from '../../../application/ports/command-queue.js';
import type { Ids } from '../../../application/ports/ids.js';
import type { Context } from '../../../domain/events.js';
import { Rejection } from '../../../domain/shared/rejection.js';
import { commandFields, type CommandType } from '../../schemas/command-schemas.js';
import { commandAnswer } from '../request/call.js';
import { commandReply } from './replies.js';
import { deadlineOf, invalid, prefersAsync, requestOf } from '../request/request-headers.js';
import type { Answer, Call, Reply, Route } from './route.js';
import { acceptedCommand } from '../contract/schemas.js';

interface Dependencies<Command> {
  commands: (command: Command, request: Request, seen?: Seen) => Promise<CommandOutcome>;
  queue: CommandInbox;
  clock: Clock;
  ids: Ids;
}

interface Asked<Command> {
  aggregate: Pick<Aggregate<Context, never, never>, 'context' | 'stream'>;
  id: string;
  command: Command;
  status: 200 | 201;
  seen?: Seen | undefined;
}

/** Executes a command and answers with its outcome. When the caller prefers `respond-async`, queues it and answers where its outcome will be. */
export async function answerCommand<Command extends { type: string }>(
  call: Call, { aggregate: { context, stream }, id, command, status, seen }: Asked<Command>, { commands, queue, clock, ids }: Dependencies<Command>,
): Promise<Reply> {
  const now = clock.now();
  const request = requestOf(call, now);
  const deadline = deadlineOf(call.headers);
  const later = prefersAsync(call.headers);
  if (deadline !== undefined && deadline <= now) {
    // A command that was accepted in time gets the same answer, however late it is repeated.
    const { principal, idempotency } = request;
    const earlier = later && idempotency !== undefined ? await queue.find({ principal, key: idempotency.key }) : undefined;
    if (earlier === undefined) throw invalid('Command-Deadline', 'is past');
    if (earlier.request.idempotency?.digest !== idempotency?.digest) throw new Rejection('idempotency.key-reused', { key: idempotency?.key });
    return acceptedReply(earlier.commandId, true);
  }
  if (!later) {
    const outcome = await commands(command, request, seen);
    return commandReply(outcome, status, `/${context}/${outcome.id}`);
  }
  const { causationId: _none, mayAppend: _always, commandId: _made, at, ...rest } = request;
  const commandId = ids.next();
  const accepted: NewCommand = { commandId, context, stream: stream(id), command, request: { ...rest, at: at.toISOString() } };
  if (seen !== undefined) accepted.seen = seen;
  if (deadline !== undefined) accepted.deadline = deadline.toISOString();
  const kept = await queue.enqueue(accepted);
  return acceptedReply(kept.commandId, kept.commandId !== commandId);
}

/** The first answer, whatever has become of the command since: a repeated request gets the same bytes. */
function acceptedReply(commandId: string, replayed: boolean): Reply {
  return {
    status: 202,
    headers: { location: `/commands/${commandId}`, 'preference-applied': 'respond-async', ...(replayed && { 'idempotency-replayed': 'true' }) },
    body: { commandId, status: 'accepted' },
  };
}

const acceptedAnswer: Answer = {
  status: 202,
  description: 'Accepted, for later: only with `Prefer: respond-async`',
  schema: acceptedCommand,
  headers: ['Location', 'Preference-Applied', 'Idempotency-Replayed'],
};

interface CommandRoute extends Pick<Route, 'method' | 'path' | 'scopes' | 'summary' | 'params' | 'headers' | 'handle'> {
  type: CommandType;
  /** Of the answer to a command that is done at once. */
  status: 200 | 201;
}

/** What the routes of all commands have in common; `headers` only where there are others. */
export function commandRoute({ type, status, headers = ['Idempotency-Key', 'If-Match', 'Prefer', 'Command-Deadline'], ...rest }: CommandRoute): Route {
  return {
    ...rest,
    name: type,
    body: Joi.object<Record<string, unknown>>(commandFields[type]),
    headers,
    answer: commandAnswer(status),
    otherAnswers: [acceptedAnswer],
  };
}
