import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import Joi from 'joi';
import { contexts, type Context } from '../../domain/events.js';
import { commandQueueNames, feedNames, profiles, viewStoreNames, type Adapters, type ProfileName } from './profiles.js';
import type { ElasticsearchConfig } from '../elasticsearch/elasticsearch-client.js';
import type { KafkaSettings } from '../kafka/server/kafka-administration.js';
import type { KafkaConfig } from '../kafka/server/kafka-client.js';
import { authConfig, type AuthConfig, type AuthValues } from '../network/auth-settings.js';
import type { TelemetryConfig } from '../opentelemetry/otlp.js';
import { OperatorError } from './operator-error.js';
import { elasticsearchConfig, kafkaConfig, type ElasticsearchValues, type KafkaValues } from '../network/server-settings.js';

/** What a process does: answer HTTP, publish the logs to their topics, fold views, react to events, run the commands that were accepted for later. */
export const roleNames = ['api', 'relay', 'projector', 'policies', 'worker'] as const;
export type Role = (typeof roleNames)[number];

/** The configuration in force, complete and validated. */
export interface Config {
  profile: ProfileName;
  adapters: Adapters;
  roles: readonly Role[];
  /** The contexts whose commands, views and policies this process serves. */
  contexts: readonly Context[];
  host: string;
  port: number;
  /** An absolute path. */
  dataDir: string;
  /** URLs of the contexts' logs; absent: the service runs its own PostgreSQL under `dataDir`. */
  databases?: Partial<Record<Context, string>>;
  /** Fixed for a log's life: topics, tokens and documents name partitions. */
  partitions: number;
  /** Present when events or commands go through Kafka. */
  kafka?: KafkaConfig;
  /** Present when views live in Elasticsearch. */
  elasticsearch?: ElasticsearchConfig;
  auth: AuthConfig;
  /** Signs paging cursors; absent: a secret is made once and kept under `dataDir`. */
  cursorSecret?: string;
  /** An order that waits longer for its credit decision is reported. */
  sagaTimeoutSeconds: number;
  idempotencyRetentionHours: number;
  /** The number of commands of a context that may wait; more are refused. */
  commandQueueLimit: number;
  logLevel: 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent';
  /** The collector that traces are sent to; absent: nothing is traced. */
  telemetry?: TelemetryConfig;
}

/** One row per setting: its variable, what it may be, and what it means. Read by `doctor` and compared with the README. */
export const settings = {
  PROFILE: { schema: Joi.string().valid(...Object.keys(profiles)).default('embedded'), about: 'which adapters: `memory`, `embedded` or `production`' },
  FEED: { schema: Joi.string().valid(...feedNames), about: 'how events get to the views: `log` or `kafka`; default as the profile says' },
  VIEWS: { schema: Joi.string().valid(...viewStoreNames), about: 'where views live: `memory`, `postgres` or `elasticsearch`; default as the profile says' },
  COMMAND_QUEUE: {
    schema: Joi.string().valid(...commandQueueNames),
    about: 'where commands wait that are done later: `memory`, `postgres` or `kafka`; default as the profile says',
  },
  ROLES: { schema: someOf(roleNames), about: 'what this process does, joined by commas: `api`, `relay`, `projector`, `policies`, `worker`; default all' },
  CONTEXTS: { schema: someOf(contexts), about: 'whose commands, views and policies it does that for: `customers`, `orders`; default both' },
  HOST: { schema: Joi.string().default('127.0.0.1'), about: 'address to listen on' },
  PORT: { schema: Joi.number().integer().min(0).max(65_535).default(3000), about: 'port to listen on; 0 takes a free one' },
  DATA_DIR: { schema: Joi.string().default('.data'), about: 'where the embedded PostgreSQL and the cursor secret live' },
  DATABASE_URL: { schema: postgresUrl(), about: 'a PostgreSQL of your own for both contexts, instead of the embedded one' },
  CUSTOMERS_DATABASE_URL: { schema: postgresUrl(), about: 'the customers context, with the views that it serves, in a database of its own' },
  ORDERS_DATABASE_URL: { schema: postgresUrl(), about: 'the orders context, with the views that it serves, in a database of its own' },
  KAFKA_BROKERS: {
    schema: Joi.string().pattern(/^[^\s,:]+:\d{1,5}(,[^\s,:]+:\d{1,5})*$/, 'host:port'),
    about: 'Kafka, as `host:port`, several joined by commas',
  },
  KAFKA_TLS: { schema: Joi.boolean().default(false), about: '`true`: connections to Kafka are encrypted, and its certificate is checked' },
  KAFKA_CA: { schema: Joi.string(), about: 'file with the certificate authority of Kafka (PEM); default: those that Node.js trusts' },
  KAFKA_CERTIFICATE: { schema: Joi.string(), about: 'file with a client certificate, where Kafka wants one (PEM)' },
  KAFKA_KEY: { schema: Joi.string(), about: 'file with its private key (PEM)' },
  KAFKA_SASL_MECHANISM: {
    schema: Joi.string().valid('plain', 'scram-sha-256', 'scram-sha-512'),
    about: 'how to log in to Kafka: `plain`, `scram-sha-256` or `scram-sha-512`; default: without a login',
  },
  KAFKA_USERNAME: { schema: Joi.string(), about: 'user of Kafka' },
  KAFKA_PASSWORD: { schema: Joi.string(), about: 'password of that user' },
  KAFKA_TOPIC_PREFIX: {
    schema: Joi.string().pattern(/^[A-Za-z0-9._-]{1,100}$/, 'letters, digits, ".", "_" and "-"').default('orderfold.'),
    about: 'begins the names of topics and consumer groups',
  },
  KAFKA_PARTITIONS: { schema: Joi.number().integer().min(1).max(1024).default(12), about: 'partitions of a context; fixed for a log\'s life' },
  ELASTICSEARCH_URL: { schema: Joi.string().uri(), about: 'Elasticsearch, `https` only' },
  ELASTICSEARCH_USERNAME: { schema: Joi.string(), about: 'user of Elasticsearch' },
  ELASTICSEARCH_PASSWORD: { schema: Joi.string(), about: 'password of that user' },
  ELASTICSEARCH_API_KEY: { schema: Joi.string(), about: 'key for its API (encoded, as Elasticsearch gives it), in place of user and password' },
  ELASTICSEARCH_CA: { schema: Joi.string(), about: 'file with the certificate authority of Elasticsearch (PEM); default: those that Node.js trusts' },
  ELASTICSEARCH_INDEX_PREFIX: {
    schema: Joi.string().pattern(/^[a-z0-9][a-z0-9._-]{0,100}$/, 'lower-case letters, digits, ".", "_" and "-"').default('orderfold'),
    about: 'begins the names of indices',
  },
  AUTH: { schema: Joi.string().valid('jwt', 'off'), about: '`jwt`, or `off` on a loopback address only; default `off` on loopback, `jwt` elsewhere' },
  JWT_JWKS: { schema: Joi.string(), about: 'file or URL of the JSON Web Key Set' },
  JWT_ISSUER: { schema: Joi.string(), about: 'the `iss` that tokens must have' },
  JWT_AUDIENCE: { schema: Joi.string(), about: 'the `aud` that tokens must have' },
  CURSOR_SECRET: { schema: Joi.string().min(32), about: 'signs paging cursors, 32 characters or more; default: made once, kept under `DATA_DIR`' },
  SAGA_TIMEOUT_SECONDS: { schema: Joi.number().integer().min(1).default(60), about: 'report orders that wait longer for their credit decision' },
  IDEMPOTENCY_RETENTION_HOURS: { schema: Joi.number().integer().min(24).default(168), about: 'how long results are kept for repeated requests' },
  COMMAND_QUEUE_LIMIT: {
    schema: Joi.number().integer().min(1).max(1_000_000).default(10_000),
    about: 'how many commands of a context may wait to be done (`Prefer: respond-async`)',
  },
  LOG_LEVEL: {
    schema: Joi.string().valid('fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent').default('info'),
    about: 'how much is logged, as JSON on standard error',
  },
  OTEL_EXPORTER_OTLP_ENDPOINT: {
    schema: Joi.string().uri({ scheme: ['http', 'https'] }),
    about: 'collector that `serve` sends traces to, as OTLP over HTTP; default: nothing is traced',
  },
  OTEL_SERVICE_NAME: { schema: Joi.string().max(255).default('orderfold'), about: 'the name of the service in its traces' },
} satisfies Record<string, { schema: Joi.Schema; about: string }>;

export type Setting = keyof typeof settings;

/** The variables as Joi converts them. */
interface Values extends KafkaValues, ElasticsearchValues, AuthValues {
  PROFILE: ProfileName;
  FEED?: Adapters['feed'];
  VIEWS?: Adapters['views'];
  COMMAND_QUEUE?: Adapters['commands'];
  ROLES?: string;
  CONTEXTS?: string;
  PORT: number;
  DATA_DIR: string;
  DATABASE_URL?: string;
  CUSTOMERS_DATABASE_URL?: string;
  ORDERS_DATABASE_URL?: string;
  KAFKA_PARTITIONS: number;
  CURSOR_SECRET?: string;
  SAGA_TIMEOUT_SECONDS: number;
  IDEMPOTENCY_RETENTION_HOURS: number;
  COMMAND_QUEUE_LIMIT: number;
  LOG_LEVEL: Config['logLevel'];
  OTEL_EXPORTER_OTLP_ENDPOINT?: string;
  OTEL_SERVICE_NAME: string;
}
type Environment = Readonly<Record<string, string | undefined>>;
type Flags = Partial<Record<Setting, string | undefined>>;

/** The process environment, completed from `.env` of the working directory. */
export function processEnvironment(): Environment {
  if (existsSync('.env')) process.loadEnvFile('.env');
  return process.env;
}

/**
 * Reads the settings from `environment`; `flags` win.
 * @throws OperatorError that names every setting that is wrong
 */
export function readConfig(environment: Environment, flags: Flags = {}): Config {
  const value = validated(environment, flags);
  const served = contexts.filter((context) => value.CONTEXTS?.split(',').includes(context) ?? true);
  const adapters = adaptersOf(value);
  if ((adapters.views === 'postgres' || adapters.commands === 'postgres') && adapters.log !== 'postgres') {
    throw new OperatorError(`VIEWS=postgres and COMMAND_QUEUE=postgres need a profile with PostgreSQL: PROFILE=${value.PROFILE} has none.`);
  }
  if (adapters.feed === 'log' && served.length < contexts.length) {
    throw new OperatorError('A process that serves one context learns of the other one through Kafka: CONTEXTS needs FEED=kafka.');
  }
  const databases = readDatabases(value, served, adapters);
  const { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_SERVICE_NAME: serviceName } = value;
  return {
    profile: value.PROFILE,
    adapters,
    roles: roleNames.filter((role) => value.ROLES?.split(',').includes(role) ?? true),
    contexts: served,
    host: value.HOST,
    port: value.PORT,
    dataDir: resolve(value.DATA_DIR),
    ...(databases !== undefined && { databases }),
    partitions: value.KAFKA_PARTITIONS,
    ...((adapters.feed === 'kafka' || adapters.commands === 'kafka') && { kafka: kafkaConfig(value, environment) }),
    ...(adapters.views === 'elasticsearch' && { elasticsearch: elasticsearchConfig(value, environment) }),
    auth: authConfig(value),
    ...(value.CURSOR_SECRET !== undefined && { cursorSecret: value.CURSOR_SECRET }),
    sagaTimeoutSeconds: value.SAGA_TIMEOUT_SECONDS,
    idempotencyRetentionHours: value.IDEMPOTENCY_RETENTION_HOURS,
    commandQueueLimit: value.COMMAND_QUEUE_LIMIT,
    logLevel: value.LOG_LEVEL,
    ...(endpoint !== undefined && { telemetry: { endpoint, serviceName } }),
  };
}

/** Reads only the settings of Elasticsearch: the others may be missing. @throws OperatorError when the views live elsewhere */
export function readSearchConfig(environment: Environment): ElasticsearchConfig {
  const value = validated(environment);
  const { views } = adaptersOf(value);
  if (views !== 'elasticsearch') {
    throw new OperatorError(`The views are not in Elasticsearch here, but in ${views}: set VIEWS=elasticsearch, or a PROFILE that has it.`);
  }
  return elasticsearchConfig(value, environment);
}

/** Reads only the settings of Kafka: the others may be missing. @throws OperatorError when nothing goes through Kafka */
export function readKafkaSettings(environment: Environment): KafkaSettings {
  const value = validated(environment);
  const { feed, commands } = adaptersOf(value);
  if (feed !== 'kafka' && commands !== 'kafka') {
    throw new OperatorError('Nothing goes through Kafka here: set FEED=kafka, COMMAND_QUEUE=kafka, or a PROFILE that has it.');
  }
  return { ...kafkaConfig(value, environment), partitions: value.KAFKA_PARTITIONS, carries: { events: feed === 'kafka', commands: commands === 'kafka' } };
}

function validated(environment: Environment, flags: Flags = {}): Values {
  const given = Object.fromEntries(Object.keys(settings).map((name) => {
    const value = flags[name as Setting] ?? environment[name];
    return [name, value === '' ? undefined : value];
  }));
  const schema = Joi.object<Values>(Object.fromEntries(Object.entries(settings).map(([name, setting]) => [name, setting.schema])))
    .oxor('DATABASE_URL', 'CUSTOMERS_DATABASE_URL').oxor('DATABASE_URL', 'ORDERS_DATABASE_URL');
  const result: Joi.ValidationResult<Values> = schema.validate(given, { abortEarly: false, errors: { wrap: { label: false } } });
  if (result.error !== undefined) throw new OperatorError(`Wrong configuration: ${result.error.details.map((detail) => detail.message).join('; ')}.`);
  return result.value;
}

function adaptersOf({ PROFILE, FEED, VIEWS, COMMAND_QUEUE }: Values): Adapters {
  const usual = profiles[PROFILE];
  return { log: usual.log, feed: FEED ?? usual.feed, views: VIEWS ?? usual.views, commands: COMMAND_QUEUE ?? usual.commands };
}

function readDatabases(value: Values, served: readonly Context[], { log }: Adapters): Config['databases'] {
  if (log !== 'postgres') return undefined;
  const own = { customers: value.CUSTOMERS_DATABASE_URL, orders: value.ORDERS_DATABASE_URL };
  const urls = served.map((context) => [context, own[context] ?? value.DATABASE_URL] as const);
  const missing = urls.filter(([, url]) => url === undefined).map(([context]) => `${context.toUpperCase()}_DATABASE_URL`);
  if (missing.length === 0) return Object.fromEntries(urls);
  if (missing.length < urls.length) throw new OperatorError(`Wrong configuration: ${missing.join(' and ')} is missing, and the other one is set.`);
  if (value.PROFILE === 'production') {
    throw new OperatorError(`PROFILE=production needs a PostgreSQL of your own: set DATABASE_URL, or ${missing.join(' and ')}.`);
  }
  return undefined;
}

function someOf(names: readonly string[]): Joi.Schema {
  const one = `(?:${names.join('|')})`;
  return Joi.string().pattern(new RegExp(`^${one}(?:,${one})*$`), names.join(', '));
}

function postgresUrl(): Joi.Schema {
  return Joi.string().uri({ scheme: ['postgres', 'postgresql'] });
}
