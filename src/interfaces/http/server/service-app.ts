import type { Express } from 'express';
import type { Service } from '../../../infrastructure/composition/compose.js';
import { cursorSecretOf } from '../../../infrastructure/process/cursor-secret.js';
import { openKeySet } from '../../../infrastructure/network/jwks.js';
import { version } from '../../../infrastructure/process/package-root.js';
import { withoutAuthentication, createAuthenticator } from '../request/access.js';
import { createApp } from './app.js';

/** The HTTP interface of a service, with the access that it is configured for. @throws OperatorError when the keys of tokens are not to be had */
export async function createServiceApp(service: Service): Promise<Express> {
  const { config: { auth, sagaTimeoutSeconds }, config, logger } = service;
  return createApp({
    ...service,
    authenticate: auth.mode === 'off' ? withoutAuthentication : createAuthenticator({ ...auth, keys: await openKeySet(auth.jwks, logger) }),
    cursorSecret: await cursorSecretOf(config),
    sagaTimeoutSeconds,
    version,
  });
}
