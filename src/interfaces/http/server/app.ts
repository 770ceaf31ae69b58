import express, { type Express, type NextFunction, type Request, type Response } from 'express';
import helmet from 'helmet';
import type { CustomerCommands } from '../../../application/customers/customer-commands.js';
import type { CustomerQueries } from '../../../application/customers/customer-queries.js';
import type { RelayState } from '../../../application/log/relay.js';
import type { OrderCommands } from '../../../application/orders/order-commands.js';
import type { OrderQueries } from '../../../application/orders/order-queries.js';
import type { Clock } from '../../../application/ports/clock.js';
import type { CommandInbox } from '../../../application/ports/command-queue.js';
import type { Traces } from '../../../application/queries/traces.js';
import { contexts } from '../../../domain/events.js';
import { Rejection } from '../../../domain/shared/rejection.js';
import type { Health } from '../../../infrastructure/composition/health.js';
import { asyncApiOf, type Topics } from '../contract/asyncapi.js';
import { openApiOf } from '../contract/openapi.js';
import { withoutAuthentication } from '../request/access.js';
import { createCursors } from '../request/cursor.js';
import { commandRoutes } from '../routes/commands.routes.js';
import { customerRoutes } from '../routes/customers.routes.js';
import { healthRoutes } from '../routes/health.routes.js';
import { operationsRoutes } from '../routes/operations.routes.js';
import { orderRoutes } from '../routes/orders.routes.js';
import { problemRoutes } from '../routes/problems.routes.js';
import type { Route } from '../routes/route.js';
import { traceRoutes } from '../routes/traces.routes.js';
import { answer, type Answering } from './answer.js';
import { refuseOtherNames } from './loopback.js';
import { createMetrics, type Metrics } from './metrics.js';
import { refuse, send } from './reply.js';
import { swaggerPages } from './swagger-pages.js';

export interface HttpDependencies extends Health, Answering {
  /** The contexts that this process serves. */
  customers?: { commands: CustomerCommands; queries: CustomerQueries; queue: CommandInbox };
  orders?: { commands: OrderCommands; queries: OrderQueries; queue: CommandInbox };
  traces: Traces;
  relays: () => readonly RelayState[];
  topics: Topics;
  cursorSecret: string;
  sagaTimeoutSeconds: number;
  clock: Clock;
  version: string;
}

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
  for (const route of routes) app[route.method](route.path, answer(route, dependencies, metrics));
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
