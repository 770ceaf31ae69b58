import Joi from 'joi';
import { Rejection, type RejectionCode } from '../../../domain/shared/rejection.js';
import { problems } from '../contract/problem.js';
import type { Route } from './route.js';

export function problemRoutes(): Route[] {
  return [{
    method: 'get', path: '/problems/:code', scopes: 'public', name: 'GetProblem', summary: 'What a problem type means',
    params: Joi.object({ code: Joi.string().max(64).pattern(/^[a-z.-]+$/, 'a problem code').required() }),
    answer: { status: 200, description: 'The problem type', schema: Joi.object().unknown() },
    handle({ params: { code = '' } }) {
      if (!Object.hasOwn(problems, code)) throw new Rejection('route.unknown', { path: `/problems/${code}` });
      const { status, title } = problems[code as RejectionCode];
      return { status: 200, body: { type: `/problems/${code}`, title, status } };
    },
  }];
}
