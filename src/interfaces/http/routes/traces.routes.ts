import Joi from 'joi';
import { longestTrace, type TraceNode, type Traces } from '../../../application/queries/traces.js';
import { trace } from '../contract/schemas.js';
import { eventBody } from '../request/call.js';
import type { Route } from './route.js';

export function traceRoutes({ traces }: { traces: Traces }): Route[] {
  const correlationId = Joi.string().max(128).pattern(/^[A-Za-z0-9._:-]+$/, 'letters, digits, ".", "_", ":" and "-"').required();
  return [{
    method: 'get', path: '/traces/:correlationId', scopes: ['history'], name: 'GetTrace',
    summary: `Everything that one request caused, in both contexts, up to ${longestTrace} events`,
    params: Joi.object({ correlationId }),
    answer: { status: 200, description: 'Events as trees by causation', schema: trace },
    async handle({ params, principal: { customerId } }) {
      const mine = (node: TraceNode): boolean => customerId === undefined || node.event.data.customerId === customerId;
      const body = ({ event, caused }: TraceNode): object =>
        ({ context: event.context, stream: event.stream, ...eventBody(event), caused: caused.filter(mine).map(body) });
      const { events, truncated } = await traces(params.correlationId ?? '');
      return { status: 200, body: { correlationId: params.correlationId ?? '', events: events.filter(mine).map(body), ...(truncated && { truncated }) } };
    },
  }];
}
