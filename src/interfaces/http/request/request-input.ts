import type { IncomingMessage } from 'node:http';
import { Rejection } from '../../../domain/shared/rejection.js';
import { validate } from '../../schemas/command-schemas.js';
import type { Route } from '../routes/route.js';
import { invalid } from './request-headers.js';

// The parameters and the body of a request, read strictly. Each function throws a Rejection that names the place.

const largestBody = 256 * 1024;

type PointerTo = (path: readonly (string | number)[]) => string;

export function checked(route: Route, part: 'params' | 'query' | 'body', input: unknown, pointer?: PointerTo): Record<string, unknown> {
  const schema = route[part];
  if (schema === undefined) {
    const [unknown] = Object.keys(input as object);
    if (part === 'query' && unknown !== undefined) throw invalid(`?${unknown}`, 'is not allowed');
    return {};
  }
  const result = validate<Record<string, unknown>>(schema, input, { convert: part === 'query', ...(pointer && { pointer }) });
  if ('errors' in result) throw new Rejection('input.invalid', { errors: result.errors });
  return result.value;
}

/** Parameters of the URL, each at most once. */
export function queryOf({ url = '' }: IncomingMessage): Record<string, string> {
  const mark = url.indexOf('?');
  if (mark < 0) return {};
  const query: Record<string, string> = {};
  for (const [name, value] of new URLSearchParams(url.slice(mark + 1))) {
    if (Object.hasOwn(query, name)) throw invalid(`?${name}`, 'is there twice');
    if (value.includes('\0') || value.includes('\ufffd')) throw invalid(`?${name}`, 'must be UTF-8 text without NUL');
    query[name] = value;
  }
  return query;
}

export function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const { 'content-type': type = '', 'content-encoding': encoding = 'identity', 'content-length': length = '0' } = request.headers;
  if (!/^application\/json\s*(?:;\s*charset="?utf-8"?\s*)?$/i.test(type)) throw unsupported('Content-Type', 'must be application/json in UTF-8');
  if (encoding !== 'identity') throw unsupported('Content-Encoding', 'must be absent');
  const tooLarge = () => new Rejection('input.too-large', { errors: [{ pointer: '', message: `must not be larger than ${largestBody} bytes` }] });
  if (Number(length) > largestBody) throw tooLarge();
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    request.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > largestBody) reject(tooLarge());
      else chunks.push(chunk);
    });
    request.on('end', () => { resolve(chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks)); });
    request.on('error', reject);
    request.on('close', () => { reject(new Error('the connection was closed before the body was there')); });
  });
}

function unsupported(pointer: string, message: string): Rejection {
  return new Rejection('input.unsupported-media-type', { errors: [{ pointer, message }] });
}

/** Whether the request has a body, read or not. */
export function hasBody({ headers: { 'content-length': length = '0', 'transfer-encoding': encoding } }: IncomingMessage): boolean {
  return length !== '0' || encoding !== undefined;
}
