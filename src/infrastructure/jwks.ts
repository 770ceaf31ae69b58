import { readFile } from 'node:fs/promises';
import { createLocalJWKSet, createRemoteJWKSet, type JSONWebKeySet, type JWTVerifyGetKey } from 'jose';
import { OperatorError } from './operator-error.js';

/** The keys that tokens are signed with, from a URL (fetched when needed) or a file (read once). */
export async function openKeySet(jwks: string): Promise<JWTVerifyGetKey> {
  if (/^https?:\/\//.test(jwks)) return createRemoteJWKSet(new URL(jwks));
  try {
    return createLocalJWKSet(JSON.parse(await readFile(jwks, 'utf8')) as JSONWebKeySet);
  } catch (error) {
    throw new OperatorError(`JWT_JWKS: ${jwks} is not a JSON Web Key Set that can be read (${(error as Error).message}).`);
  }
}
