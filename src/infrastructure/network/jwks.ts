import { readFile } from 'node:fs/promises';
import { createLocalJWKSet, createRemoteJWKSet, errors, type JSONWebKeySet, type JWTVerifyGetKey } from 'jose';
import type { Logger } from '../../application/ports/logger.js';
import { Rejection } from '../../domain/shared/rejection.js';
import { OperatorError } from '../process/operator-error.js';

/** What a token is to blame for; whatever else goes wrong is the key set's. */
const faultsOfTokens = [errors.JWKSNoMatchingKey, errors.JWKSMultipleMatchingKeys, errors.JOSENotSupported];

/**
 * The keys that tokens are signed with, from a URL (fetched when needed) or a file (read once).
 * They throw Rejection `access.unavailable` when they cannot be fetched: it is asked for them again after `retryMs`, and whoever comes meanwhile does not wait.
 */
export async function openKeySet(jwks: string, logger: Logger, { retryMs = 1_000 } = {}): Promise<JWTVerifyGetKey> {
  if (/^https?:\/\//i.test(jwks)) return fetched(new URL(jwks), logger, retryMs);
  try {
    return createLocalJWKSet(JSON.parse(await readFile(jwks, 'utf8')) as JSONWebKeySet);
  } catch (error) {
    throw new OperatorError(`JWT_JWKS: ${jwks} is not a JSON Web Key Set that can be read (${(error as Error).message}).`);
  }
}

function fetched(url: URL, logger: Logger, retryMs: number): JWTVerifyGetKey {
  const keys = createRemoteJWKSet(url);
  let failedAt: number | undefined;
  return async (header, token) => {
    if (!keys.fresh && failedAt !== undefined && performance.now() - failedAt < retryMs) throw new Rejection('access.unavailable');
    try {
      const key = await keys(header, token);
      if (failedAt !== undefined) logger.info({ jwks: url.host }, 'the keys that tokens are signed with can be fetched again');
      failedAt = undefined;
      return key;
    } catch (error) {
      if (faultsOfTokens.some((fault) => error instanceof fault)) throw error;
      if (failedAt === undefined) logger.error({ err: error, jwks: url.host }, 'the keys that tokens are signed with cannot be fetched');
      failedAt = performance.now();
      throw new Rejection('access.unavailable');
    }
  };
}
