import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Request, Response } from 'express';
import type { TokenCheck } from '../../../application/log/token.js';
import type { Ids } from '../../../application/ports/ids.js';
import type { Logger } from '../../../application/ports/logger.js';
import { traceparentPattern, type Span, type Tracer } from '../../../application/ports/tracer.js';
import { Rejection } from '../../../domain/shared/rejection.js';
import { authorize, publicPrincipal, type Authenticate } from '../request/access.js';
import { seenBy } from '../request/request-headers.js';
import { bodyOf, checked, queryOf } from '../request/request-input.js';
import type { Call, Reply, Route } from '../routes/route.js';
import { canonical } from '../../schemas/canonical.js';
import { parseStrictJson } from '../../schemas/strict-json.js';
import { admissionOf } from './admission.js';
import type { Metrics } from './metrics.js';
import { correlationIdOf, refuse, send } from './reply.js';

export interface Answering {
  authenticate: Authenticate;
  /** Asked for each token that a request brings. */
  tokens: TokenCheck;
  ids: Ids;
  logger: Logger;
  tracer: Tracer;
}

/**
 * What Express calls for a route: admits the request, reads and checks it, has the route handle it and answers. The span, the metrics and the log tell of it.
 */
export function answer(route: Route, dependencies: Answering, metrics: Metrics): (request: Request, response: Response) => Promise<void> {
  return traced(route, dependencies.tracer, answering(route, dependencies, metrics));
}

/** One span per request, named after OpenTelemetry's semantic conventions. */
function traced(route: Route, tracer: Tracer, answer: (request: Request, response: Response, span: Span) => Promise<void>) {
  const method = route.method.toUpperCase();
  return (request: Request, response: Response): Promise<void> => {
    const attributes = { 'http.request.method': method, 'http.route': route.path, 'url.path': request.path, 'url.scheme': request.protocol };
    return tracer.span(`${method} ${route.path}`, { kind: 'server', parent: traceparentOf(request), attributes }, async (span) => {
      await answer(request, response, span);
      const { statusCode } = response;
      span.set({
        'http.response.status_code': statusCode,
        'orderfold.correlation_id': String(response.getHeader('x-correlation-id')),
        ...(statusCode >= 500 && { 'error.type': String(statusCode) }),
      });
    });
  };
}

function traceparentOf({ headers: { traceparent } }: IncomingMessage): string | undefined {
  return typeof traceparent === 'string' && traceparentPattern.test(traceparent) ? traceparent : undefined;
}

function answering(route: Route, dependencies: Answering, metrics: Metrics) {
  const method = route.method.toUpperCase();
  const isCommand = route.method !== 'get';
  const admission = admissionOf(route.method);
  return async (request: Request, response: Response, { traceparent }: Span): Promise<void> => {
    const began = performance.now();
    response.setHeader('x-correlation-id', correlationIdOf(request, dependencies));
    let call: Call | undefined;
    try {
      const reply = await admission(request.headers['consistency-token'] !== undefined).run(async () => {
        // The caller has disconnected meanwhile: nothing is done.
        if (response.destroyed) return undefined;
        call = await callOf(route, request, response, dependencies, traceparent);
        const seen = route.headers?.includes('Consistency-Token') ? seenBy(call.headers) : undefined;
        if (seen !== undefined) await dependencies.tokens(seen.tokens);
        return route.handle(call);
      });
      if (reply === undefined) return;
      send(response, reply);
      if (isCommand) metrics.command(route.name, outcomeOf(reply));
    } catch (error) {
      refuse(request, response, error, dependencies);
      if (isCommand) {
        metrics.command(route.name, error instanceof Rejection ? error.code : 'failed');
        // All that is kept of a refused command: who asked for what, and why not.
        if (error instanceof Rejection) {
          dependencies.logger.info({
            command: route.name,
            path: request.path,
            code: error.code,
            principal: call?.principal.id,
            correlationId: response.getHeader('x-correlation-id'),
          }, 'a command was refused');
        }
      }
    }
    metrics.answered(method, route.path, response.statusCode, (performance.now() - began) / 1_000);
  };
}

function outcomeOf({ status, headers }: Reply): string {
  if (headers?.['idempotency-replayed'] !== undefined) return 'replayed';
  return status === 202 ? 'accepted' : 'done';
}

async function callOf(
  route: Route, request: Request, response: Response, { authenticate }: Answering, traceparent: string | undefined,
): Promise<Call> {
  const principal = route.scopes === 'public' ? publicPrincipal : await authenticate(request.headers.authorization);
  if (route.scopes !== 'public') authorize(principal, route.scopes);
  const params = checked(route, 'params', request.params, (path) => `{${String(path[0])}}`) as Record<string, string>;
  const query = checked(route, 'query', queryOf(request), (path) => `?${String(path[0] ?? '')}`);
  const bytes = route.body === undefined ? undefined : await bodyOf(request);
  const body = bytes === undefined ? {} : checked(route, 'body', parseStrictJson(bytes));
  return {
    params,
    query,
    body,
    headers: request.headers,
    principal,
    correlationId: response.getHeader('x-correlation-id') as string,
    ...(traceparent !== undefined && { traceparent }),
    digest: () => createHash('sha256').update(`${request.method} ${request.path} ${canonical(body)}`).digest('hex'),
  };
}
