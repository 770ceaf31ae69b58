import Joi from 'joi';
import { relayLagMs, type RelayState } from '../../../application/log/relay.js';
import type { OrderQueries } from '../../../application/orders/order-queries.js';
import type { Clock } from '../../../application/ports/clock.js';
import type { CommandInbox } from '../../../application/ports/command-queue.js';
import type { Caller } from '../../../application/queries/caller.js';
import { lagMs } from '../../../application/views/progress.js';
import type { Health } from '../../../infrastructure/composition/health.js';
import { callerOf } from '../request/call.js';
import type { Metrics } from '../server/metrics.js';
import { viewBody } from './replies.js';
import type { Route } from './route.js';

interface Dependencies extends Pick<Health, 'viewStates'> {
  relays: () => readonly RelayState[];
  /** Only where orders are served. */
  orderQueries?: OrderQueries;
  queues: Readonly<Partial<Record<string, CommandInbox>>>;
  metrics: Metrics;
  clock: Clock;
  sagaTimeoutSeconds: number;
}

export function operationsRoutes({ viewStates, relays, orderQueries, queues, metrics, clock, sagaTimeoutSeconds }: Dependencies): Route[] {
  const json = Joi.object().unknown();
  const waiting = async (caller: Caller) => orderQueries?.waitingSince(new Date(clock.now().getTime() - sagaTimeoutSeconds * 1_000), caller);
  const relayBody = (relay: RelayState) => {
    const { context, position, published: positions, error } = relay;
    return { context, position, positions, lagMs: relayLagMs(relay, clock.now()), ...(error !== undefined && { error }) };
  };

  const sagas: Route = {
    method: 'get', path: '/ops/sagas', scopes: ['ops'], name: 'GetSagas', summary: 'Orders that wait too long for their credit decision',
    answer: { status: 200, description: 'Their count, and the oldest hundred', schema: json },
    async handle(call) {
      const { count = 0, oldest = [] } = await waiting(callerOf(call)) ?? {};
      const orders = oldest.map(({ orderId, customerId, placedAt }) => ({ orderId, customerId, placedAt }));
      return { status: 200, body: { timeoutSeconds: sagaTimeoutSeconds, waiting: count, oldest: orders } };
    },
  };

  return [
    {
      method: 'get', path: '/metrics', scopes: ['ops'], name: 'GetMetrics', summary: 'Metrics in the format of Prometheus',
      answer: { status: 200, description: 'Metrics', schema: Joi.string() },
      async handle() {
        const now = clock.now();
        const depths = Object.entries(queues).map(async ([context, queue]) => [context, await queue?.depth() ?? 0] as const);
        const [states, orders, queued] = await Promise.all([viewStates(), waiting({}).catch(() => undefined), Promise.all(depths).catch(() => [])]);
        const views = states.map((view) => ({ ...view, lagMs: view.progress && lagMs(view.progress, now) }));
        const known = relays().flatMap((relay) => {
          const lag = relayLagMs(relay, now);
          return lag === null ? [] : [{ ...relay, lagMs: lag }];
        });
        const body = await metrics.render({ views, relays: known, waitingOrders: orders?.count, queuedCommands: new Map(queued) });
        return { status: 200, headers: { 'content-type': metrics.contentType }, body };
      },
    },
    {
      method: 'get', path: '/ops/views', scopes: ['ops'], name: 'GetViews', summary: 'How far the views have got',
      answer: { status: 200, description: 'The views', schema: json },
      handle: async () => ({ status: 200, body: { items: (await viewStates()).map((view) => viewBody(view, clock)) } }),
    },
    {
      method: 'get', path: '/ops/relay', scopes: ['ops'], name: 'GetRelay', summary: 'How far the logs are published, by the relays of this process',
      answer: { status: 200, description: 'The relays that lead', schema: json },
      handle: () => ({ status: 200, body: { items: relays().map(relayBody) } }),
    },
    ...(orderQueries === undefined ? [] : [sagas]),
  ];
}
