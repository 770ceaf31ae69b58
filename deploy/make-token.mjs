// Prints an access token for trying out the compose stack, signed by a key that is made at first use. With an identity provider it is not needed.
//   node deploy/make-token.mjs [scope…] [--customer <customerId>] [--hours <n>]
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { SignJWT, exportJWK, generateKeyPair, importJWK } from 'jose';

const everything = ['commands:customers', 'commands:orders', 'queries:customers', 'queries:orders', 'history', 'stream', 'analytics', 'ops'];
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { customer: { type: 'string' }, hours: { type: 'string', default: '8' }, directory: { type: 'string', default: import.meta.dirname } },
});

if (existsSync('.env')) process.loadEnvFile('.env');
const { JWT_ISSUER: issuer, JWT_AUDIENCE: audience } = process.env;
if (!issuer || !audience) throw new Error('JWT_ISSUER and JWT_AUDIENCE are not set: make .env with node deploy/make-env.mjs.');

const signingKey = join(values.directory, 'signing-key.json');
if (!existsSync(signingKey)) {
  const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
  const names = { kid: 'tryout', alg: 'ES256', use: 'sig' };
  // The service's containers see the public half only.
  const jwks = join(values.directory, 'jwks/jwks.json');
  mkdirSync(join(values.directory, 'jwks'), { recursive: true });
  writeFileSync(jwks, `${JSON.stringify({ keys: [{ ...await exportJWK(publicKey), ...names }] })}\n`);
  chmodSync(jwks, 0o644);
  writeFileSync(signingKey, `${JSON.stringify({ ...await exportJWK(privateKey), ...names })}\n`, { mode: 0o600 });
}
const key = JSON.parse(readFileSync(signingKey, 'utf8'));

console.log(await new SignJWT({ scope: (positionals.length > 0 ? positionals : everything).join(' '), ...(values.customer !== undefined && { customerId: values.customer }) })
  .setProtectedHeader({ alg: 'ES256', kid: key.kid })
  .setSubject(values.customer ?? 'operator')
  .setIssuer(issuer)
  .setAudience(audience)
  .setIssuedAt()
  .setExpirationTime(`${values.hours}h`)
  .sign(await importJWK(key, 'ES256')));
