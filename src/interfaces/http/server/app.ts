import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import express, { type Express, type NextFunction, type Request, type Response } from 'express';
import helmet from 'helmet';
import type { TokenCheck } from '../../../application/log/token.js';
import type { CustomerCommands } from '../../../application/customers/customer-commands.js';
import type { CustomerQueries } from '../../../application/customers/customer-queries.js';
import type { OrderCommands } from '../../../application/orders/order-commands.js';
import type { OrderQueries } from '../../../application/orders/order-queries.js';
import type { Clock } from '../../../application/ports/clock.js';
import type { CommandInbox } from '../../../application/ports/command-queue.js';
import type { Ids } from '../../../application/ports/ids.js';
import type { Logger } from '../../../application/ports/logger.js';
import { traceparentPattern, type Span, type Tracer } from '../../../application/ports/tracer.js';
import type { RelayState } from '../../../application/log/relay.js';
import type { Traces } from '../../../application/queries/traces.js';
import { contexts } from '../../../domain/events.js';
import { Rejection } from '../../../domain/shared/rejection.js';
import { canonical } from '../../schemas/canonical.js';
import { admissionOf } from './admission.js';
import { withoutAuthentication, authorize, publicPrincipal, type Authenticate } from '../request/access.js';
import { asyncApiOf, type Topics } from '../contract/asyncapi.js';
import { createCursors } from '../request/cursor.js';
import { commandRoutes } from '../routes/commands.routes.js';
import { customerRoutes } from '../routes/customers.routes.js';
import { refuseOtherNames } from './loopback.js';
import { createMetrics, type Metrics } from './metrics.js';
import { openApiOf } from '../contract/openapi.js';
import { healthRoutes } from '../routes/health.routes.js';
import { operationsRoutes } from '../routes/operations.routes.js';
import { problemRoutes } from '../routes/problems.routes.js';
import { traceRoutes } from '../routes/traces.routes.js';
import type { Health } from '../../../infrastructure/composition/health.js';
import { orderRoutes } from '../routes/orders.routes.js';
import { problemOf } from '../contract/problem.js';
import { seenBy } from '../request/request-headers.js';
import { bodyOf, checked, hasBody, queryOf } from '../request/request-input.js';
import type { Call, Reply, Route } from '../routes/route.js';
import { parseStrictJson } from '../../schemas/strict-json.js';
import { swaggerPages } from './swagger-pages.js';

export interface HttpDependencies extends Health {
  /** The contexts that this process serves. */
  customers?: { commands: CustomerCommands; queries: CustomerQueries; queue: CommandInbox };
  orders?: { commands: OrderCommands; queries: OrderQueries; queue: CommandInbox };
  traces: Traces;
  /** Asked for each token that a request brings. */
  tokens: TokenCheck;
  relays: () => readonly RelayState[];
  topics: Topics;
  authenticate: Authenticate;
  cursorSecret: string;
  sagaTimeoutSeconds: number;
  clock: Clock;
  ids: Ids;
  logger: Logger;
  tracer: Tracer;
  version: string;
}

// Answers are data for programs: nothing in them is to be run, framed, sniffed or kept.
const headersOfAll = Object.entries({
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
});

/** Every route there is: registered, documented and tested from this list. */
export function routesOf(dependencies: HttpDependencies, metrics: Metrics): Route[] {
  const { customers, orders } = dependencies;
  const queues = { ...(customers && { customers: customers.queue }), ...(orders && { orders: orders.queue }) };
  const shared = { ...dependencies, queues, cursors: createCursors(dependencies.cursorSecret), metrics };
  return [
    ...(orders === undefined ? [] : orderRoutes({ ...shared, ...orders })),
    ...(customers === undefined ? [] : customerRoutes({ ...shared, ...customers })),
    ...commandRoutes(shared),
    ...healthRoutes(shared),
    ...operationsRoutes({ ...shared, ...(orders !== undefined && { orderQueries: orders.queries }) }),
    ...traceRoutes(shared),
    ...problemRoutes(),
  ];
}

export function createApp(dependencies: HttpDependencies): Express {
  const metrics = createMetrics();
  const routes = routesOf(dependencies, metrics);
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('query parser', false);
  assertScopes(routes);
  // This comes before everything else, health and documentation included.
  if (dependencies.authenticate === withoutAuthentication) app.use((request, _response, next) => { refuseOtherNames(request.headers); next(); });
  for (const route of routes) app[route.method](route.path, traced(route, dependencies.tracer, answering(route, dependencies, metrics)));
  const documentation = openApiOf(routes, dependencies.version);
  app.get('/openapi.json', (_request, response) => { send(response, { status: 200, body: documentation }); });
  const events = asyncApiOf(contexts.filter((context) => dependencies[context] !== undefined), dependencies.topics, dependencies.version);
  app.get('/asyncapi.json', (_request, response) => { send(response, { status: 200, body: events }); });
  const protection = helmet({ contentSecurityPolicy: { directives: { upgradeInsecureRequests: null } }, strictTransportSecurity: false });
  app.use('/docs', protection, swaggerPages(documentation));
  for (const path of new Set(routes.map((route) => route.path))) {
    const allowed = routes.filter((route) => route.path === path).map(({ method }) => method.toUpperCase());
    app.all(path, (request, response) => {
      response.setHeader('allow', allowed.join(', '));
      refuse(request, response, new Rejection('route.method-not-allowed', { method: request.method, allowed }), dependencies);
    });
  }
  app.use((request, response) => { refuse(request, response, new Rejection('route.unknown', { path: request.path }), dependencies); });
  // What was refused before a route was found, and Express' own refusals: a path that cannot be decoded.
  app.use((error: unknown, request: Request, response: Response, _next: NextFunction) => {
    const badPath = error instanceof URIError || (error as { status?: number }).status === 400;
    refuse(request, response, badPath ? new Rejection('input.invalid', { errors: [{ pointer: 'path', message: 'cannot be decoded' }] }) : error, dependencies);
  });
  return app;
}

/** Denied unless declared: a route that forgot its scope stops the service from starting. */
export function assertScopes(routes: readonly (Pick<Route, 'method' | 'path'> & { scopes?: Route['scopes'] })[]): void {
  for (const { method, path, scopes = [] } of routes) {
    if (scopes !== 'public' && ('anyOf' in scopes ? scopes.anyOf : scopes).length === 0) throw new Error(`${method} ${path} does not declare its scope`);
  }
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

function answering(route: Route, dependencies: HttpDependencies, metrics: Metrics) {
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

async function callOf(route: Route, request: Request, response: Response, { authenticate }: HttpDependencies, traceparent: string | undefined): Promise<Call> {
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

function correlationIdOf(request: IncomingMessage, { ids }: HttpDependencies): string {
  const given = request.headers['x-correlation-id'];
  return typeof given === 'string' && /^[A-Za-z0-9._:-]{1,128}$/.test(given) ? given : ids.next();
}

function send(response: Response, { status, headers = {}, body }: Reply, type = 'application/json; charset=utf-8'): void {
  response.statusCode = status;
  for (const [name, value] of headersOfAll) response.setHeader(name, value);
  response.setHeader('content-type', type);
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  response.end(typeof body === 'string' ? body : JSON.stringify(body));
}

function refuse(request: Request, response: Response, error: unknown, dependencies: HttpDependencies): void {
  if (response.headersSent || response.destroyed) return;
  const correlationId = response.getHeader('x-correlation-id') as string | undefined ?? correlationIdOf(request, dependencies);
  response.setHeader('x-correlation-id', correlationId);
  if (!(error instanceof Rejection)) dependencies.logger.error({ err: error, method: request.method, path: request.path, correlationId }, 'a request failed');
  const { problem, headers } = problemOf(error, correlationId);
  // The rest of an unread body is not waited for.
  if (!request.complete && hasBody(request)) response.setHeader('connection', 'close');
  send(response, { status: problem.status, headers, body: problem }, 'application/problem+json; charset=utf-8');
}
