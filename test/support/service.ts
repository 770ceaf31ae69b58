import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { compose, type Service } from '../../src/infrastructure/composition/compose.js';
import { readConfig, type Setting } from '../../src/infrastructure/process/config.js';
import type { Clock } from '../../src/application/ports/clock.js';
import type { Tracer } from '../../src/application/ports/tracer.js';
import { createServer } from '../../src/interfaces/http/server/server.js';
import { createServiceApp } from '../../src/interfaces/http/server/service-app.js';
import { temporaryDirectory } from './postgres.js';

export interface TestAnswer {
  status: number;
  headers: Headers;
  text: string;
  /** Parsed, where it is JSON. */
  // oxlint-disable-next-line typescript/no-explicit-any
  body: any;
}

export interface TestService extends Service {
  url: string;
  server: Server;
  ask(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<TestAnswer>;
  end(): Promise<void>;
}

/** The whole service in this process, listening on a free port; the memory profile unless told otherwise. */
export async function startService(environment: Partial<Record<Setting, string>> = {}, clock?: Clock, tracer?: Tracer): Promise<TestService> {
  const service = await compose(readConfig({ PROFILE: 'memory', PORT: '0', LOG_LEVEL: 'silent', ...environment }), { ...(clock && { clock }), ...(tracer && { tracer }) });
  const stop = new AbortController();
  const running = service.run(service.config.roles, stop.signal);
  const server = createServer(await createServiceApp(service), service.arrivals);
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    ...service,
    url,
    server,
    ask: (method, path, body, headers) => ask(url, method, path, body, headers),
    async end() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      stop.abort();
      await running;
      await service.close();
    },
  };
}

/** `body`: sent as it is when it is a string or bytes, as JSON otherwise. */
export async function ask(url: string, method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<TestAnswer> {
  const raw = typeof body === 'string' || body instanceof Uint8Array;
  const answer = await fetch(url + path, {
    method, headers: { ...(body !== undefined && { 'content-type': 'application/json' }), ...headers },
    ...(body !== undefined && { body: raw ? body as string : JSON.stringify(body) }),
  });
  const text = await answer.text();
  const type = answer.headers.get('content-type') ?? '';
  return { status: answer.status, headers: answer.headers, text, body: type.includes('json') && text !== '' ? JSON.parse(text) : undefined };
}

/** All items of a list, page by page. */
// oxlint-disable-next-line typescript/no-explicit-any
export async function askAll(url: string, path: string, limit = 200): Promise<any[]> {
  const items = [];
  for (let cursor = ''; ;) {
    const { status, text, body } = await ask(url, 'GET', `${path}${path.includes('?') ? '&' : '?'}limit=${limit}${cursor}`);
    if (status !== 200) throw new Error(`GET ${path}: ${text}`);
    items.push(...body.items);
    if (body.nextCursor === undefined) return items;
    cursor = `&cursor=${encodeURIComponent(body.nextCursor)}`;
  }
}

/** Asks again and again until `found` gives something. @throws Error after `withinMs` */
export async function eventually<T>(what: string, found: () => Promise<T | undefined | false>, withinMs = 10_000, everyMs = 20): Promise<T> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const result = await found();
    if (result !== undefined && result !== false) return result;
    if (performance.now() > deadline) throw new Error(`${what}: not within ${withinMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}

/** An issuer of tokens, and the settings that trust it. */
export async function tokenIssuer() {
  const { publicKey, privateKey } = await generateKeyPair('ES256');
  const stranger = await generateKeyPair('ES256');
  const directory = await temporaryDirectory();
  const jwks = join(directory, 'jwks.json');
  await writeFile(jwks, JSON.stringify({ keys: [{ ...await exportJWK(publicKey), alg: 'ES256' }] }));
  const settings = { AUTH: 'jwt', JWT_JWKS: jwks, JWT_ISSUER: 'https://issuer.test/', JWT_AUDIENCE: 'orderfold' };
  return {
    settings,
    sign: (claims: Record<string, unknown>, { audience = 'orderfold', issuer = settings.JWT_ISSUER, expires = '5m', foreign = false, subject = 'somebody' } = {}) =>
      new SignJWT(claims).setProtectedHeader({ alg: 'ES256' }).setSubject(subject).setAudience(audience).setIssuer(issuer).setExpirationTime(expires).sign(foreign ? stranger.privateKey : privateKey),
    end: () => rm(directory, { recursive: true }),
  };
}
