import Joi from 'joi';
import type { CommandInbox, CommandRecord } from '../../../application/ports/command-queue.js';
import { Rejection } from '../../../domain/shared/rejection.js';
import { identifier } from '../../schemas/command-schemas.js';
import { problemOf } from '../contract/problem.js';
import type { Call, Reply, Route } from './route.js';
import { commandStatus } from '../contract/schemas.js';

/** What became of commands that were accepted for later. */
export function commandRoutes({ queues }: { queues: Readonly<Partial<Record<string, CommandInbox>>> }): Route[] {
  const params = Joi.object({ commandId: identifier.required() });
  const shared = { path: '/commands/:commandId', scopes: { anyOf: ['commands:customers', 'commands:orders', 'ops'] }, params } as const;

  /** Finds a command for the caller who sent it, or for an operator. */
  async function find({ params: { commandId = '' }, principal: { id, customerId, scopes } }: Call): Promise<{ queue: CommandInbox; record: CommandRecord }> {
    const present = Object.values(queues).filter((queue) => queue !== undefined);
    const asked = await Promise.allSettled(present.map(async (queue) => ({ queue, record: await queue.find(commandId) })));
    for (const answer of asked) {
      if (answer.status === 'rejected' || answer.value.record === undefined) continue;
      const { queue, record } = answer.value;
      const { principal, onlyCustomer } = record.request;
      if ((principal === id || scopes.has('ops')) && (customerId === undefined || customerId === onlyCustomer)) return { queue, record };
    }
    // The command may be in a queue that cannot be reached.
    const away = asked.find((answer) => answer.status === 'rejected');
    if (away !== undefined) throw away.reason;
    throw new Rejection('command.unknown', { commandId });
  }

  return [
    {
      ...shared,
      method: 'get',
      name: 'GetCommand',
      summary: 'What became of a command that was accepted for later',
      answer: {
        status: 200,
        description: 'Its status; with its result, or with the problem that it was refused with',
        schema: commandStatus,
        headers: ['Consistency-Token', 'Retry-After'],
      },
      handle: async (call) => statusReply((await find(call)).record),
    },
    {
      ...shared,
      method: 'delete',
      name: 'CancelCommand',
      summary: 'Cancel a command that has not been started',
      answer: { status: 200, description: 'It is cancelled', schema: commandStatus },
      async handle(call) {
        const { queue, record: { commandId } } = await find(call);
        const record = await queue.cancel(commandId);
        if (record === undefined) throw new Rejection('command.unknown', { commandId });
        if (record.status !== 'cancelled') throw new Rejection('command.already-started', { commandId, commandStatus: record.status });
        return statusReply(record);
      },
    },
  ];
}

function statusReply(record: CommandRecord): Reply {
  const { commandId, command: { type }, status, request: { at, correlationId }, deadline, startedAt, finishedAt, end } = record;
  const headers: Record<string, string> = {};
  if (end === undefined) headers['retry-after'] = '1';
  if (end?.status === 'succeeded') headers['consistency-token'] = end.token;
  return {
    status: 200,
    headers,
    body: {
      commandId,
      type,
      status,
      correlationId,
      acceptedAt: at,
      ...(deadline !== undefined && { deadline }),
      ...(startedAt !== undefined && { startedAt }),
      ...(finishedAt !== undefined && { finishedAt }),
      ...outcomeOf(record),
    },
  };
}

function outcomeOf({ context, request: { correlationId }, end }: CommandRecord): object {
  switch (end?.status) {
    case 'succeeded':
      return { result: JSON.parse(end.body) as object, etag: `"${end.version}"`, location: `/${context}/${end.id}`, consistencyToken: end.token };
    case 'refused':
      return { problem: problemOf(new Rejection(end.code, end.details), correlationId).problem };
    case 'failed':
      return { problem: problemOf(end.code === undefined ? undefined : new Rejection(end.code), correlationId).problem };
    case 'expired':
    case 'cancelled':
    case undefined:
      return {};
  }
}
