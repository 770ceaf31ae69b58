import type { IncomingMessage } from 'node:http';
import type { Request, Response } from 'express';
import type { Ids } from '../../../application/ports/ids.js';
import type { Logger } from '../../../application/ports/logger.js';
import { Rejection } from '../../../domain/shared/rejection.js';
import { problemOf } from '../contract/problem.js';
import { hasBody } from '../request/request-input.js';
import type { Reply } from '../routes/route.js';

interface Tools { ids: Ids; logger: Logger }

// Answers are data for programs: nothing in them is to be run, framed, sniffed or kept.
const headersOfAll = Object.entries({
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
});

/** The caller's, where it is one, or a new one. */
export function correlationIdOf(request: IncomingMessage, { ids }: Pick<Tools, 'ids'>): string {
  const given = request.headers['x-correlation-id'];
  return typeof given === 'string' && /^[A-Za-z0-9._:-]{1,128}$/.test(given) ? given : ids.next();
}

export function send(response: Response, { status, headers = {}, body }: Reply, type = 'application/json; charset=utf-8'): void {
  response.statusCode = status;
  for (const [name, value] of headersOfAll) response.setHeader(name, value);
  response.setHeader('content-type', type);
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  response.end(typeof body === 'string' ? body : JSON.stringify(body));
}

/** Answers with a problem; what is no rejection is a bug or an outage, and logged. */
export function refuse(request: Request, response: Response, error: unknown, tools: Tools): void {
  if (response.headersSent || response.destroyed) return;
  const correlationId = response.getHeader('x-correlation-id') as string | undefined ?? correlationIdOf(request, tools);
  response.setHeader('x-correlation-id', correlationId);
  if (!(error instanceof Rejection)) tools.logger.error({ err: error, method: request.method, path: request.path, correlationId }, 'a request failed');
  const { problem, headers } = problemOf(error, correlationId);
  // The rest of an unread body is not waited for.
  if (!request.complete && hasBody(request)) response.setHeader('connection', 'close');
  send(response, { status: problem.status, headers, body: problem }, 'application/problem+json; charset=utf-8');
}
