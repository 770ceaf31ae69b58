import Joi from 'joi';
import type { Caller } from '../../../application/queries/caller.js';
import type { OrderQueries } from '../../../application/orders/order-queries.js';
import type { Clock } from '../../../application/ports/clock.js';
import type { CommandInbox } from '../../../application/ports/command-queue.js';
import type { RelayState } from '../../../application/log/relay.js';
import { longestTrace, type TraceNode, type Traces } from '../../../application/queries/traces.js';
import { Rejection, type RejectionCode } from '../../../domain/shared/rejection.js';
import { callerOf, eventBody } from '../request/call.js';
import type { Metrics } from '../server/metrics.js';
import { problems } from '../contract/problem.js';
import { lagMs } from '../../../application/views/progress.js';
import type { Route } from './route.js';
import type { Component, ViewState } from '../../../infrastructure/composition/health.js';
import { trace } from '../contract/schemas.js';

interface Dependencies {
  /** Asks every part, each with a time limit. */
  components: () => Promise<Component[]>;
  viewStates: () => Promise<ViewState[]>;
  relays: () => readonly RelayState[];
  /** Only where orders are served. */
  orderQueries?: OrderQueries;
  queues: Readonly<Partial<Record<string, CommandInbox>>>;
  traces: Traces;
  metrics: Metrics;
  clock: Clock;
  sagaTimeoutSeconds: number;
}

export function operatingRoutes({ components, viewStates, relays, orderQueries, queues, traces, metrics, clock, sagaTimeoutSeconds }: Dependencies): Route[] {
  const json = Joi.object().unknown();
  const viewBody = ({ name, revision, progress, error }: ViewState) => ({
    name, revision, positions: progress?.applied ?? {}, lagMs: progress === undefined ? null : lagMs(progress, clock.now()), checkedAt: progress?.checkedAt ?? null,
    ...(error !== undefined && { error }),
  });
  const relayLagMs = ({ behindSince, error }: RelayState) => (behindSince === null ? error === undefined ? 0 : null : Math.max(0, clock.now().getTime() - Date.parse(behindSince)));
  const waiting = async (caller: Caller) => orderQueries?.waitingSince(new Date(clock.now().getTime() - sagaTimeoutSeconds * 1_000), caller);

  return [
    {
      method: 'get', path: '/health/live', scopes: 'public', name: 'GetLiveness', summary: 'Whether the process runs', answer: { status: 200, description: 'It does', schema: json },
      handle: () => ({ status: 200, body: { status: 'live' } }),
    },
    {
      method: 'get', path: '/health/ready', scopes: 'public', name: 'GetReadiness', summary: 'Whether it can serve, part by part; 503 when it cannot',
      answer: { status: 200, description: 'It can', schema: json },
      async handle() {
        const [parts, states] = await Promise.all([components(), viewStates()]);
        const down = parts.some(({ status, vital }) => vital && status === 'down');
        const views = down ? [] : states;
        return {
          status: down ? 503 : 200,
          ...(down && { headers: { 'retry-after': '2' } }),
          body: { status: down ? 'not ready' : parts.some(({ status }) => status === 'down') ? 'degraded' : 'ready', components: parts, views: views.map(viewBody) },
        };
      },
    },
    {
      method: 'get', path: '/metrics', scopes: ['ops'], name: 'GetMetrics', summary: 'Metrics in the format of Prometheus', answer: { status: 200, description: 'Metrics', schema: Joi.string() },
      async handle() {
        const depths = Object.entries(queues).map(async ([context, queue]) => [context, await queue?.depth() ?? 0] as const);
        const [views, orders, queued] = await Promise.all([viewStates(), waiting({}).catch(() => undefined), Promise.all(depths).catch(() => [])]);
        return { status: 200, headers: { 'content-type': metrics.contentType }, body: await metrics.render({ views: views.map((view) => ({ ...view, lagMs: view.progress && lagMs(view.progress, clock.now()) })), relays: relays().flatMap((relay) => { const lag = relayLagMs(relay); return lag === null ? [] : [{ ...relay, lagMs: lag }]; }), waitingOrders: orders?.count, queuedCommands: new Map(queued) }) };
      },
    },
    {
      method: 'get', path: '/ops/views', scopes: ['ops'], name: 'GetViews', summary: 'How far the views have got', answer: { status: 200, description: 'The views', schema: json },
      handle: async () => ({ status: 200, body: { items: (await viewStates()).map(viewBody) } }),
    },
    {
      method: 'get', path: '/ops/relay', scopes: ['ops'], name: 'GetRelay', summary: 'How far the logs are published, by the relays of this process', answer: { status: 200, description: 'The relays that lead', schema: json },
      handle: () => ({ status: 200, body: { items: relays().map((relay) => ({ context: relay.context, position: relay.position, positions: relay.published, lagMs: relayLagMs(relay), ...(relay.error !== undefined && { error: relay.error }) })) } }),
    },
    ...(orderQueries === undefined ? [] : [{
      method: 'get', path: '/ops/sagas', scopes: ['ops'], name: 'GetSagas', summary: 'Orders that wait too long for their credit decision', answer: { status: 200, description: 'Their count, and the oldest hundred', schema: json },
      async handle(call) {
        const { count = 0, oldest = [] } = await waiting(callerOf(call)) ?? {};
        return { status: 200, body: { timeoutSeconds: sagaTimeoutSeconds, waiting: count, oldest: oldest.map(({ orderId, customerId, placedAt }) => ({ orderId, customerId, placedAt })) } };
      },
    } satisfies Route]),
    {
      method: 'get', path: '/traces/:correlationId', scopes: ['history'], name: 'GetTrace', summary: `Everything that one request caused, in both contexts, up to ${longestTrace} events`,
      params: Joi.object({ correlationId: Joi.string().max(128).pattern(/^[A-Za-z0-9._:-]+$/, 'letters, digits, ".", "_", ":" and "-"').required() }),
      answer: { status: 200, description: 'Events as trees by causation', schema: trace },
      async handle({ params: { correlationId = '' }, principal: { customerId } }) {
        const mine = (node: TraceNode): boolean => customerId === undefined || node.event.data.customerId === customerId;
        const { events, truncated } = await traces(correlationId);
        const body = ({ event, caused }: TraceNode): object => ({ context: event.context, stream: event.stream, ...eventBody(event), caused: caused.filter(mine).map(body) });
        return { status: 200, body: { correlationId, events: events.filter(mine).map(body), ...(truncated && { truncated }) } };
      },
    },
    {
      method: 'get', path: '/problems/:code', scopes: 'public', name: 'GetProblem', summary: 'What a problem type means',
      params: Joi.object({ code: Joi.string().max(64).pattern(/^[a-z.-]+$/, 'a problem code').required() }),
      answer: { status: 200, description: 'The problem type', schema: json },
      handle({ params: { code = '' } }) {
        if (!Object.hasOwn(problems, code)) throw new Rejection('route.unknown', { path: `/problems/${code}` });
        const { status, title } = problems[code as RejectionCode];
        return { status: 200, body: { type: `/problems/${code}`, title, status } };
      },
    },
  ];
}
