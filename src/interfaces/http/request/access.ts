import { jwtVerify, type JWTVerifyGetKey } from 'jose';
import { keepNewest } from '../../../application/concurrency/keep-newest.js';
import { Rejection } from '../../../domain/shared/rejection.js';

export const scopes = ['commands:customers', 'commands:orders', 'queries:customers', 'queries:orders', 'history', 'ops'] as const;
export type Scope = (typeof scopes)[number];

export interface Principal {
  id: string;
  scopes: ReadonlySet<string>;
  /** Sees and changes only what is this customer's. */
  customerId?: string;
}

/** Finds out who sends an `Authorization` header. @throws Rejection `access.unauthenticated`, or `access.unavailable` when the keys cannot be had */
export type Authenticate = (authorization: string | undefined) => Promise<Principal> | Principal;

/** With AUTH=off: everybody may do everything. */
export const withoutAuthentication: Authenticate = () => anonymous;
const anonymous: Principal = { id: 'anonymous', scopes: new Set(scopes) };

/** The principal of requests for what is public. */
export const publicPrincipal: Principal = { id: 'nobody', scopes: new Set() };

/** Names that the service uses for itself. A token's `sub` that is one of them gets a prefix, so it never shares idempotency keys or a name in events. */
const reserved = /^(?:import|anonymous|nobody|(?:policy|token):.*)$/s;

const algorithms = ['RS256', 'PS256', 'ES256', 'EdDSA'];
const rememberedTokens = 1_000;

/** Access tokens: signed by one of `keys`, from `issuer`, for `audience`, and not expired. A token is verified once and remembered until it expires. */
export function createAuthenticator({ keys, issuer, audience }: { keys: JWTVerifyGetKey; issuer: string; audience: string }): Authenticate {
  const verified = new Map<string, { principal: Principal; expiresAt: number }>();
  return async (authorization) => {
    const [, token] = /^Bearer ([\w-]+\.[\w-]+\.[\w-]+)$/.exec(authorization ?? '') ?? [];
    if (token === undefined) throw new Rejection('access.unauthenticated');
    const known = verified.get(token);
    if (known !== undefined && known.expiresAt > Date.now()) return known.principal;
    verified.delete(token);
    const { payload } = await jwtVerify(token, keys, { issuer, audience, algorithms, requiredClaims: ['sub', 'exp'] })
      .catch((error: unknown) => { throw error instanceof Rejection ? error : new Rejection('access.unauthenticated'); });
    const { sub = '', exp = 0, scope, customerId } = payload;
    // A claim that is there but not understood must not widen what its holder sees.
    if (customerId !== undefined && (typeof customerId !== 'string' || customerId === '')) throw new Rejection('access.unauthenticated');
    const principal: Principal = {
      id: reserved.test(sub) ? `token:${sub}` : sub,
      scopes: new Set(typeof scope === 'string' ? scope.split(' ') : []),
      ...(customerId !== undefined && { customerId }),
    };
    keepNewest(verified, token, { principal, expiresAt: exp * 1_000 }, rememberedTokens);
    return principal;
  };
}

/** @throws Rejection `access.forbidden` */
export function authorize(principal: Principal, needed: readonly Scope[] | { anyOf: readonly Scope[] }): void {
  if ('anyOf' in needed) {
    if (!needed.anyOf.some((scope) => principal.scopes.has(scope))) throw new Rejection('access.forbidden', { anyScope: needed.anyOf.join(' ') });
    return;
  }
  const missing = needed.filter((scope) => !principal.scopes.has(scope));
  if (missing.length > 0) throw new Rejection('access.forbidden', { scope: missing.join(' ') });
}
