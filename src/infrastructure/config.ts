import { existsSync } from 'node:fs';
import { isIPv4 } from 'node:net';
import { resolve } from 'node:path';
import Joi from 'joi';
import { OperatorError } from './operator-error.js';

export const profileNames = ['memory', 'embedded'] as const;
export type ProfileName = (typeof profileNames)[number];

/** What a process does: answer HTTP, fold views, react to events, do the commands that were accepted for later. */
export const roleNames = ['api', 'projector', 'policies', 'worker'] as const;
export type Role = (typeof roleNames)[number];

export type AuthConfig =
  | { mode: 'off' }
  /** `jwks`: a file or a URL with the keys that tokens are signed with. */
  | { mode: 'jwt'; jwks: string; issuer: string; audience: string };

/** What is in force, whole and validated. */
export interface Config {
  profile: ProfileName;
  roles: readonly Role[];
  host: string;
  port: number;
  /** Absolute. */
  dataDir: string;
  /** Where the contexts' logs are; absent: the service runs its own PostgreSQL under `dataDir`. */
  databases?: { customers: string; orders: string };
  /** Fixed for a log's life: tokens and documents name partitions. */
  partitions: number;
  auth: AuthConfig;
  /** Signs cursors; absent: made once and kept under `dataDir`. */
  cursorSecret?: string;
  /** An order that waits longer for its credit decision is reported. */
  sagaTimeoutSeconds: number;
  idempotencyRetentionHours: number;
  /** Commands of a context that wait to be done; more are refused. */
  commandQueueLimit: number;
  logLevel: 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent';
}

/** One row per setting: its variable, what it may be, and what it means. Read by `doctor` and compared with the README. */
export const settings = {
  PROFILE: { schema: Joi.string().valid(...profileNames).default('embedded'), about: 'which adapters: `memory` or `embedded`' },
  ROLES: { schema: roles(), about: 'what this process does, joined by commas: `api`, `projector`, `policies`, `worker`; default all' },
  HOST: { schema: Joi.string().default('127.0.0.1'), about: 'address to listen on' },
  PORT: { schema: Joi.number().integer().min(0).max(65_535).default(3000), about: 'port to listen on; 0 takes a free one' },
  DATA_DIR: { schema: Joi.string().default('.data'), about: 'where the embedded PostgreSQL and the cursor secret live' },
  DATABASE_URL: { schema: postgresUrl(), about: 'a PostgreSQL of your own for both contexts, instead of the embedded one' },
  CUSTOMERS_DATABASE_URL: { schema: postgresUrl(), about: 'the customers context in a database of its own' },
  ORDERS_DATABASE_URL: { schema: postgresUrl(), about: 'the orders context and the views in a database of their own' },
  KAFKA_PARTITIONS: { schema: Joi.number().integer().min(1).max(1024).default(12), about: 'partitions of a context; fixed for a log\'s life' },
  AUTH: { schema: Joi.string().valid('jwt', 'off'), about: '`jwt`, or `off` on a loopback address only; default `off` on loopback, `jwt` elsewhere' },
  JWT_JWKS: { schema: Joi.string(), about: 'file or URL of the JSON Web Key Set' },
  JWT_ISSUER: { schema: Joi.string(), about: 'the `iss` that tokens must have' },
  JWT_AUDIENCE: { schema: Joi.string(), about: 'the `aud` that tokens must have' },
  CURSOR_SECRET: { schema: Joi.string().min(32), about: 'signs paging cursors, 32 characters or more; default: made once, kept under `DATA_DIR`' },
  SAGA_TIMEOUT_SECONDS: { schema: Joi.number().integer().min(1).default(60), about: 'report orders that wait longer for their credit decision' },
  IDEMPOTENCY_RETENTION_HOURS: { schema: Joi.number().integer().min(24).default(168), about: 'how long results are kept for repeated requests' },
  COMMAND_QUEUE_LIMIT: { schema: Joi.number().integer().min(1).max(1_000_000).default(10_000), about: 'how many commands of a context may wait to be done (`Prefer: respond-async`)' },
  LOG_LEVEL: { schema: Joi.string().valid('fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent').default('info'), about: 'how much is logged, as JSON on standard error' },
} satisfies Record<string, { schema: Joi.Schema; about: string }>;

export type Setting = keyof typeof settings;

/** What Joi makes of the variables. */
interface Values {
  PROFILE: ProfileName;
  ROLES?: string;
  HOST: string;
  PORT: number;
  DATA_DIR: string;
  DATABASE_URL?: string;
  CUSTOMERS_DATABASE_URL?: string;
  ORDERS_DATABASE_URL?: string;
  KAFKA_PARTITIONS: number;
  AUTH?: AuthConfig['mode'];
  JWT_JWKS?: string;
  JWT_ISSUER?: string;
  JWT_AUDIENCE?: string;
  CURSOR_SECRET?: string;
  SAGA_TIMEOUT_SECONDS: number;
  IDEMPOTENCY_RETENTION_HOURS: number;
  COMMAND_QUEUE_LIMIT: number;
  LOG_LEVEL: Config['logLevel'];
}
type Environment = Readonly<Record<string, string | undefined>>;

/** The process environment, with `.env` of the working directory behind it. */
export function processEnvironment(): Environment {
  if (existsSync('.env')) process.loadEnvFile('.env');
  return process.env;
}

/**
 * Reads the settings from `environment`; `flags` win.
 * @throws OperatorError that names every setting that is wrong
 */
export function readConfig(environment: Environment, flags: Partial<Record<Setting, string | undefined>> = {}): Config {
  const given = Object.fromEntries(Object.keys(settings).map((name) => {
    const value = flags[name as Setting] ?? environment[name];
    return [name, value === '' ? undefined : value];
  }));
  const schema = Joi.object<Values>(Object.fromEntries(Object.entries(settings).map(([name, setting]) => [name, setting.schema])))
    .and('CUSTOMERS_DATABASE_URL', 'ORDERS_DATABASE_URL').oxor('DATABASE_URL', 'CUSTOMERS_DATABASE_URL');
  const result: Joi.ValidationResult<Values> = schema.validate(given, { abortEarly: false, errors: { wrap: { label: false } } });
  if (result.error !== undefined) throw new OperatorError(`Wrong configuration: ${result.error.details.map((detail) => detail.message).join('; ')}.`);
  const { value } = result;

  const customers = value.CUSTOMERS_DATABASE_URL ?? value.DATABASE_URL;
  const orders = value.ORDERS_DATABASE_URL ?? value.DATABASE_URL;
  return {
    profile: value.PROFILE,
    roles: value.ROLES === undefined ? roleNames : roleNames.filter((role) => value.ROLES?.split(',').includes(role)),
    host: value.HOST,
    port: value.PORT,
    dataDir: resolve(value.DATA_DIR),
    ...(customers !== undefined && orders !== undefined && { databases: { customers, orders } }),
    partitions: value.KAFKA_PARTITIONS,
    auth: readAuth(value),
    ...(value.CURSOR_SECRET !== undefined && { cursorSecret: value.CURSOR_SECRET }),
    sagaTimeoutSeconds: value.SAGA_TIMEOUT_SECONDS,
    idempotencyRetentionHours: value.IDEMPOTENCY_RETENTION_HOURS,
    commandQueueLimit: value.COMMAND_QUEUE_LIMIT,
    logLevel: value.LOG_LEVEL,
  };
}

function readAuth({ HOST: host, AUTH, JWT_JWKS: jwks, JWT_ISSUER: issuer, JWT_AUDIENCE: audience }: Values): AuthConfig {
  const loopback = isLoopback(host);
  const mode = AUTH ?? (loopback ? 'off' : 'jwt');
  if (mode === 'off') {
    if (!loopback) throw new OperatorError(`AUTH=off is refused on ${host}: without authentication the service listens on a loopback address only.`);
    return { mode };
  }
  if (jwks === undefined || issuer === undefined || audience === undefined) {
    throw new OperatorError('AUTH=jwt needs JWT_JWKS (a file or a URL), JWT_ISSUER and JWT_AUDIENCE.');
  }
  return { mode, jwks, issuer, audience };
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'));
}

function roles(): Joi.Schema {
  const one = `(?:${roleNames.join('|')})`;
  return Joi.string().pattern(new RegExp(`^${one}(?:,${one})*$`), roleNames.join(', '));
}

function postgresUrl(): Joi.Schema {
  return Joi.string().uri({ scheme: ['postgres', 'postgresql'] });
}
