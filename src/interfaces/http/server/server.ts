import http from 'node:http';
import type { Express } from 'express';
import { Arrivals } from '../../../application/concurrency/arrivals.js';

/**
 * An HTTP server for an Express app. Express gives each request and response the app's prototype, and changing a prototype costs more than all else that
 * it does; here they are born with it. Requests, and whatever else gives way to `arrivals`, come after the connections that arrive.
 */
export function createServer(app: Express, arrivals = new Arrivals()): http.Server {
  class AppRequest extends http.IncomingMessage {}
  class AppResponse extends http.ServerResponse<AppRequest> {}
  Object.setPrototypeOf(AppRequest.prototype, app.request);
  Object.setPrototypeOf(AppResponse.prototype, app.response);
  app.request = AppRequest.prototype as unknown as Express['request'];
  app.response = AppResponse.prototype as unknown as Express['response'];
  return http.createServer({
    IncomingMessage: AppRequest, ServerResponse: AppResponse,
    headersTimeout: 10_000, requestTimeout: 30_000, keepAliveTimeout: 65_000, maxHeaderSize: 16 * 1024,
  }, (request, response) => { arrivals.afterwards(() => { app(request, response); }); }).on('connection', () => { arrivals.connected(); });
}
