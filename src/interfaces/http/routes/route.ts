import type { IncomingHttpHeaders } from 'node:http';
import type Joi from 'joi';
import type { Principal, Scope } from '../request/access.js';

/** One request, authenticated, authorized and validated. */
export interface Call {
  params: Readonly<Record<string, string>>;
  /** As the route's schemas make it. */
  query: object;
  body: object;
  headers: IncomingHttpHeaders;
  principal: Principal;
  correlationId: string;
  traceparent?: string;
  /** Hexadecimal SHA-256 over method, path and body. */
  digest(): string;
}

export interface Reply {
  status: number;
  headers?: Readonly<Record<string, string>>;
  /** A string goes out as it is, as JSON unless `content-type` says otherwise. */
  body: string | object;
}

export interface Answer {
  status: number;
  description: string;
  schema?: Joi.Schema;
  headers?: readonly string[];
}

/** A route as data: what is registered, what is documented and what is checked come from the same place. */
export interface Route {
  method: 'get' | 'post' | 'put' | 'patch' | 'delete';
  /** In Express' syntax: `/orders/:orderId`. */
  path: string;
  /** All of them are needed, or any of them; `'public'` needs none. Without a declaration the service does not start. */
  scopes: readonly Scope[] | { anyOf: readonly Scope[] } | 'public';
  name: string;
  summary: string;
  params?: Joi.ObjectSchema;
  query?: Joi.ObjectSchema;
  body?: Joi.ObjectSchema;
  /** Request headers that it understands, beside the ones that all do. */
  headers?: readonly RequestHeader[];
  answer: Answer;
  /** Answers that a caller gets only on request, as with `Prefer`. */
  otherAnswers?: readonly Answer[];
  handle(call: Call): Promise<Reply> | Reply;
}

export const requestHeaders = {
  'Idempotency-Key': 'Names this request: repeated under the same key it is not done again, and answered with the same bytes. 1 to 255 printable characters.',
  'If-Match': 'Refuse (412) unless it is at this version: the ETag of an earlier answer.',
  'Consistency-Token': 'Tokens of earlier answers, joined by commas: the answer is not older than they are.',
  Prefer: '`wait=<seconds>`: how long to wait for the Consistency-Token at most (default 5, at most 30). '
    + 'With a command, `respond-async`: it is accepted, done later, and answered with 202 and where its outcome will be.',
  'Command-Deadline': 'An instant, in ISO 8601 with `Z` or an offset, or as HTTP writes dates: '
    + 'a command that was accepted for later and is not started by then expires.',
} as const;
export type RequestHeader = keyof typeof requestHeaders;
