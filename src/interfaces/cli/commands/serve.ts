import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Command } from 'commander';
import type { Service } from '../../../infrastructure/composition/compose.js';
import { processEnvironment, readConfig, type Config } from '../../../infrastructure/process/config.js';
import { OperatorError } from '../../../infrastructure/process/operator-error.js';
import { startTelemetry } from '../../../infrastructure/process/telemetry.js';
import { untilInterrupted } from '../terminal/with-service.js';

const drainMs = 10_000;
/** Connections that may wait to be accepted; the system may allow fewer (net.core.somaxconn). */
const backlog = 4_096;

interface Flags {
  host?: string;
  port?: string;
  profile?: string;
  dataDir?: string;
  roles?: string;
  contexts?: string;
}

export function registerServe(program: Command): void {
  program.command('serve')
    .description('answer HTTP, publish the events, keep the views up to date, run the policies and do the commands that were accepted for later')
    .option('--host <address>', 'HOST')
    .option('--port <port>', 'PORT')
    .option('--profile <name>', 'PROFILE')
    .option('--data-dir <directory>', 'DATA_DIR')
    .option('--roles <names>', 'ROLES')
    .option('--contexts <names>', 'CONTEXTS')
    .action(async (flags: Flags) => {
      const config = readConfig(processEnvironment(), {
        HOST: flags.host,
        PORT: flags.port,
        PROFILE: flags.profile,
        DATA_DIR: flags.dataDir,
        ROLES: flags.roles,
        CONTEXTS: flags.contexts,
      });
      await serve(config);
    });
}

/**
 * Serves until SIGTERM or SIGINT, then drains: no new requests are accepted, the open ones are answered, the workers end, and what was opened is closed
 * in reverse order.
 */
async function serve(config: Config): Promise<void> {
  const stopped = untilInterrupted();
  const asked = new Promise<void>((resolve) => { stopped.addEventListener('abort', () => { resolve(); }); });
  const [{ compose }, { createLogger }] = await Promise.all([
    import('../../../infrastructure/composition/compose.js'),
    import('../../../infrastructure/process/pino-logger.js'),
  ]);
  const logger = createLogger(config.logLevel);
  const telemetry = await startTelemetry(config.telemetry, logger);
  try {
    await serveUntil(asked, config, await compose(config, { logger, tracer: telemetry.tracer }));
  } finally {
    await telemetry.close();
  }
}

async function serveUntil(asked: Promise<void>, config: Config, service: Service): Promise<void> {
  const stop = new AbortController();
  let workers: Promise<void> = Promise.resolve();
  try {
    const server = config.roles.includes('api') ? await httpServerOf(service) : undefined;
    workers = service.run(config.roles, stop.signal);
    if (server !== undefined) {
      await listen(server, config);
      console.log(whereToGoNext(config, server.address() as AddressInfo));
      await asked;
      service.logger.info({}, 'stopping: no new requests, the open ones are answered first');
      await drain(server);
    } else {
      console.log(`Orderfold is running (${config.roles.join(', ')} of ${config.contexts.join(' and ')}).`);
      await asked;
    }
  } finally {
    stop.abort();
    await workers;
    await service.close();
  }
}

async function httpServerOf(service: Service): Promise<Server> {
  const [{ createServiceApp }, { createServer }] = await Promise.all([
    import('../../http/server/service-app.js'),
    import('../../http/server/server.js'),
  ]);
  return createServer(await createServiceApp(service), service.arrivals);
}

export function listen(server: Server, { host, port }: Pick<Config, 'host' | 'port'>): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const why: Record<string, string> = {
        EADDRINUSE: `Port ${port} on ${host} is taken: stop what listens there, or choose another one with PORT or --port.`,
        EACCES: `Port ${port} on ${host} may not be used by this user: choose one above 1023 with PORT or --port.`,
        EADDRNOTAVAIL: `${host} is not an address of this machine: set HOST or --host.`,
        ENOTFOUND: `${host} is not a known host name: set HOST or --host.`,
      };
      const line = why[error.code ?? ''];
      reject(line === undefined ? error : new OperatorError(line));
    });
    // Node.js asks for 511: when a thousand connect at the same moment, the rest would wait for TCP's retries, after 1, 3, 7 and 15 seconds.
    server.listen({ port, host, backlog }, resolve);
  });
}

async function drain(server: Server): Promise<void> {
  const closed = new Promise((resolve) => server.close(resolve));
  // A connection that was busy when the server closed is kept alive by its client afterwards.
  const idle = setInterval(() => { server.closeIdleConnections(); }, 50);
  const late = setTimeout(() => { server.closeAllConnections(); }, drainMs);
  await closed;
  clearInterval(idle);
  clearTimeout(late);
}

function whereToGoNext(config: Config, { port }: AddressInfo): string {
  const url = `http://${config.host.includes(':') ? `[${config.host}]` : config.host}:${port}`;
  const kept = whereDataIsKept(config);
  const open = config.auth.mode === 'off' ? '\n  Access    AUTH=off: everybody on this machine may do everything' : '';
  return `
Orderfold is ready at ${url}

  Docs      ${url}/docs
  Health    ${url}/health/ready
  Data      ${kept}${open}

  Try       curl -s -X POST ${url}/customers -H 'content-type: application/json' \\
              -d '{"customerId": "ada", "name": "Ada Lovelace", "currency": "EUR", "creditLimitMinor": null}'
            curl -s '${url}/orders?period=last-month'
  Import    npx orderfold import samples/orders.ndjson

Stop with Ctrl-C.
`;
}

function whereDataIsKept({ adapters, databases, dataDir }: Config): string {
  if (adapters.log === 'memory') return 'in memory: a restart forgets everything';
  return databases === undefined ? `under ${dataDir}` : 'in your PostgreSQL';
}

