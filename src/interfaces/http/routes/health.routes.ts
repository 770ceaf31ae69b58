import Joi from 'joi';
import type { Health } from '../../../infrastructure/composition/health.js';
import type { Clock } from '../../../application/ports/clock.js';
import { viewBody } from './replies.js';
import type { Route } from './route.js';

export function healthRoutes({ readiness, clock }: Pick<Health, 'readiness'> & { clock: Clock }): Route[] {
  const json = Joi.object().unknown();
  return [
    {
      method: 'get', path: '/health/live', scopes: 'public', name: 'GetLiveness', summary: 'Whether the process runs',
      answer: { status: 200, description: 'It does', schema: json },
      handle: () => ({ status: 200, body: { status: 'live' } }),
    },
    {
      method: 'get', path: '/health/ready', scopes: 'public', name: 'GetReadiness', summary: 'Whether it can serve, part by part; 503 when it cannot',
      answer: { status: 200, description: 'It can', schema: json },
      async handle() {
        const { components, views } = await readiness();
        if (components.some(({ status, vital }) => vital && status === 'down')) {
          return { status: 503, headers: { 'retry-after': '2' }, body: { status: 'not ready', components, views: [] } };
        }
        const status = components.some((component) => component.status === 'down') ? 'degraded' : 'ready';
        return { status: 200, body: { status, components, views: views.map((view) => viewBody(view, clock)) } };
      },
    },
  ];
}
