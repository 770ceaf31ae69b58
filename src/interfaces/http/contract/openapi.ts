import type Joi from 'joi';
import { scopes } from '../request/access.js';
import { schemaOf } from './json-schema.js';
import { requestHeaders, type Answer, type Route } from '../routes/route.js';
import { problem } from './schemas.js';

const answerHeaders: Record<string, string> = {
  ETag: 'The version, quoted.',
  Location: 'Where it is.',
  'Consistency-Token': 'Send it with a query, and the answer will not be older than this command.',
  'Preference-Applied': '`respond-async`.',
  'Retry-After': 'Seconds until it is worth asking again.',
  'Idempotency-Replayed': '`true` when this is the answer of an earlier request under the same key.',
  'View-Position': 'How far the view has got, per context: `orders=1234`. '
    + 'Of a view that is behind, with the partitions that have not got so far, the slowest first: `orders=1234;p7=12;p3=1200`.',
  'View-Lag-Ms': 'Age of the oldest event that the view has not applied, in milliseconds.',
};

const tags: Record<string, string> = {
  orders: 'Orders: what can be done with them, and what can be asked about them.',
  customers: 'Customers, their credit and their history.',
  commands: 'Commands that were accepted for later, and what became of them.',
  traces: 'What one request caused.',
  health: 'Whether the service runs, and can serve.',
  metrics: 'Numbers for Prometheus.',
  ops: 'For operators.',
  problems: 'What the types of problems mean.',
};

/** OpenAPI 3.1, from the routes themselves. */
export function openApiOf(routes: readonly Route[], version: string): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const route of routes) (paths[route.path.replace(/:(\w+)/g, '{$1}')] ??= {})[route.method] = operationOf(route);
  return {
    openapi: '3.1.1',
    info: {
      title: 'Orderfold',
      version,
      license: { name: 'MIT', identifier: 'MIT' },
      description: 'Customers and orders. Commands are stored as events; queries read views that are folded from them. '
        + 'An answer of a command has a Consistency-Token: a query that is sent with it waits until its view shows that command.',
    },
    servers: [{ url: '/' }],
    tags: [...new Set(routes.map(tagOf))].map((name) => ({ name, description: tags[name] ?? name })),
    paths,
    components: {
      securitySchemes: {
        token: {
          type: 'http',
          scheme: 'bearer',
          bearerFormat: 'JWT',
          description: `Scopes: ${scopes.join(', ')}. A token with a customerId claim sees and changes only what is that customer's.`,
        },
      },
      responses: {
        problem: {
          description: 'The request was refused, or failed (RFC 9457). `type` is `/problems/<code>`.',
          content: { 'application/problem+json': { schema: schemaOf(problem) } },
        },
      },
    },
  };
}

function operationOf({ name, summary, scopes: needed, params, query, body, headers = [], answer, otherAnswers = [], path }: Route): object {
  return {
    operationId: name,
    summary,
    tags: [tagOf({ path })],
    security: needed === 'public' ? [] : [{ token: [] }],
    ...(needed !== 'public' && { description: `Needs the scope ${scopesInWords(needed)}.` }),
    parameters: [
      ...parametersOf(params, 'path'),
      ...parametersOf(query, 'query'),
      ...[...headers].map((header) => ({ name: header, in: 'header', description: requestHeaders[header], schema: { type: 'string' } })),
    ],
    ...(body !== undefined && { requestBody: { required: true, content: { 'application/json': { schema: schemaOf(body) } } } }),
    responses: {
      ...Object.fromEntries([answer, ...otherAnswers].map((one) => [one.status, responseOf(one)])),
      '4XX': { $ref: '#/components/responses/problem' },
      '5XX': { $ref: '#/components/responses/problem' },
    },
  };
}

function responseOf({ description, headers, schema }: Answer): object {
  return {
    description,
    ...(headers !== undefined && { headers: Object.fromEntries(headers.map((header) => [header, headerOf(header)])) }),
    ...(schema !== undefined && { content: { [schema.type === 'string' ? 'text/plain' : 'application/json']: { schema: schemaOf(schema) } } }),
  };
}

function headerOf(name: string): object {
  return { description: answerHeaders[name], schema: { type: 'string' } };
}

function scopesInWords(needed: Exclude<Route['scopes'], 'public'>): string {
  return 'anyOf' in needed ? needed.anyOf.map(quoted).join(' or ') : needed.map(quoted).join(' and ');
}

function quoted(scope: string): string {
  return `\`${scope}\``;
}

function tagOf({ path }: { path: string }): string {
  return path.split('/')[1] ?? '';
}

function parametersOf(schema: Joi.Schema | undefined, place: 'path' | 'query'): object[] {
  if (schema === undefined) return [];
  const { properties = {}, required = [] } = schemaOf(schema);
  return Object.entries(properties).map(([name, { description, ...own }]) => ({
    name,
    in: place,
    required: place === 'path' || required.includes(name),
    ...(description !== undefined && { description }),
    schema: Object.keys(own).length > 0 ? own : { type: 'string' },
  }));
}
