import { OperatorError } from '../process/operator-error.js';
import { isLoopback } from './loopback.js';

export interface AuthValues {
  HOST: string;
  AUTH?: AuthConfig['mode'];
  JWT_JWKS?: string;
  JWT_ISSUER?: string;
  JWT_AUDIENCE?: string;
}

export type AuthConfig =
  | { mode: 'off' }
  /** `jwks`: a file or a URL with the keys that tokens are signed with. */
  | { mode: 'jwt'; jwks: string; issuer: string; audience: string };

/** @throws OperatorError when the service would be open to the network, a setting is missing, or keys would be fetched unencrypted */
export function authConfig({ HOST: host, AUTH, JWT_JWKS: jwks, JWT_ISSUER: issuer, JWT_AUDIENCE: audience }: AuthValues): AuthConfig {
  const loopback = isLoopback(host);
  const mode = AUTH ?? (loopback ? 'off' : 'jwt');
  if (mode === 'off') {
    if (!loopback) throw new OperatorError(`AUTH=off is refused on ${host}: without authentication the service listens on a loopback address only.`);
    return { mode };
  }
  if (jwks === undefined || issuer === undefined || audience === undefined) {
    throw new OperatorError('AUTH=jwt needs JWT_JWKS (a file or a URL), JWT_ISSUER and JWT_AUDIENCE.');
  }
  if (/^https?:\/\//i.test(jwks) && !URL.canParse(jwks)) throw new OperatorError(`JWT_JWKS=${jwks} is not a URL.`);
  if (/^http:\/\//i.test(jwks) && !isLoopback(new URL(jwks).hostname)) {
    throw new OperatorError(`JWT_JWKS=${jwks} is refused: whoever is on the way could put in keys of their own. Use https.`);
  }
  return { mode, jwks, issuer, audience };
}
