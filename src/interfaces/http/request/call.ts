import type Joi from 'joi';
import type { Caller } from '../../../application/queries/caller.js';
import type { Seen } from '../../../application/ports/command-queue.js';
import type { Clock } from '../../../application/ports/clock.js';
import type { StreamQueries } from '../../../application/queries/streams.js';
import type { Folded, ListOptions } from '../../../application/queries/lists.js';
import { authorize } from './access.js';
import type { Cursors } from './cursor.js';
import { sortOf, type PageQuery } from '../contract/query-schemas.js';
import { freshness } from '../routes/replies.js';
import { seenBy } from './request-headers.js';
import type { Answer, Call, Reply } from '../routes/route.js';
import { commandResult } from '../contract/schemas.js';

// What the routes of both resources do alike.

export function callerOf({ principal: { customerId } }: Call): Caller {
  return customerId === undefined ? {} : { onlyCustomer: customerId };
}

const counting = { exact: Infinity, none: 0 };

/** Sort, limit and place of a list. Its cursors are bound to `query`: everything but the page itself, and the customer that the caller is limited to. */
export function listOptions(call: Call, cursors: Cursors, facets?: readonly string[]): { options: ListOptions; query: unknown } {
  const { cursor, limit, total, ...rest } = call.query as PageQuery;
  const { facets: _facets, ...asked } = rest as Record<string, unknown>;
  const query = [asked, call.principal.customerId ?? null];
  const options: ListOptions = { sort: sortOf(rest.sort), limit };
  if (cursor !== undefined) options.after = cursors.read(cursor, query);
  if (total !== undefined) options.countUpTo = counting[total];
  if (facets !== undefined) options.facets = facets;
  return { options, query };
}

interface Documents<D> extends Pick<StreamQueries<D>, 'atVersion'> {
  one(id: string, caller: Caller, seen?: Seen): Promise<Folded<D>>;
}

/** One document from its view, or, at a version, from the log. */
export async function documentReply<D extends { version: number }>(call: Call, id: string, queries: Documents<D>, clock: Clock): Promise<Reply> {
  const { version } = call.query as { version?: number };
  if (version !== undefined) {
    authorize(call.principal, ['history']);
    return { status: 200, headers: { etag: `"${version}"` }, body: await queries.atVersion(id, callerOf(call), version) };
  }
  const { value, progress } = await queries.one(id, callerOf(call), seenBy(call.headers));
  return { status: 200, headers: { etag: `"${value.version}"`, ...freshness(progress, clock) }, body: value };
}

export async function historyReply<D>(call: Call, id: string, queries: Pick<StreamQueries<D>, 'history'>): Promise<Reply> {
  const { after, limit } = call.query as { after: number; limit: number };
  const { entries, more } = await queries.history(id, callerOf(call), { after, limit });
  return {
    status: 200,
    body: {
      items: entries.map(({ event, state, changes }) => ({ ...eventBody(event), state, changes })),
      ...(more && { nextAfter: entries.at(-1)?.event.version }),
    },
  };
}

interface ShownEvent {
  version: number;
  position: number;
  recordedAt: string;
  data: { type: string; at: string };
  metadata: object;
}

export function eventBody({ version, position, recordedAt, data, metadata }: ShownEvent) {
  const { type, at, ...rest } = data;
  return { version, position, type, at, recordedAt, data: rest, metadata };
}

export function commandAnswer(status: 200 | 201): Answer {
  return {
    status,
    description: status === 201 ? 'Created' : 'Done, or already so',
    schema: commandResult,
    headers: ['ETag', 'Location', 'Consistency-Token', 'Idempotency-Replayed'],
  };
}

export function queryAnswer(description: string, schema: Joi.Schema): Answer {
  return { status: 200, description, schema, headers: ['View-Position', 'View-Lag-Ms'] };
}
