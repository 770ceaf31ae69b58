import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Kafka, KafkaConfig as ClientOptions, SASLOptions } from 'kafkajs';
import type { Logger } from '../../../application/ports/logger.js';
import { OperatorError } from '../../process/operator-error.js';
import type { TlsMaterial } from '../../network/tls.js';
import { within } from '../../../application/concurrency/within.js';
import { kafkaFaultOf, tellingFaults, toldOfKafka } from './kafka-fault.js';

export type SaslMechanism = 'plain' | 'scram-sha-256' | 'scram-sha-512';

export interface KafkaConfig {
  /** `host:port`, one or more. */
  brokers: readonly string[];
  /** Begins the name of every topic and consumer group. */
  topicPrefix: string;
  /** Names of PEM files. Absent: unencrypted. Without `ca`, the authorities that Node.js trusts; `own` is the client's certificate. */
  tls?: { ca?: string; own?: { certificate: string; key: string } };
  sasl?: { mechanism: SaslMechanism; username: string; password: string };
}

const require = createRequire(import.meta.url);

/** Loaded at first use: the other profiles do not need it. An `import` would not see all exports of this CommonJS module. */
export function loadKafkajs(): typeof import('kafkajs') {
  return require('kafkajs') as typeof import('kafkajs');
}

/** @throws OperatorError when a file cannot be read. A connection that fails for good rejects with one as well. */
export function connectKafka({ brokers, tls, sasl }: KafkaConfig, options: Partial<ClientOptions> = {}): Kafka {
  const { Kafka, logLevel } = loadKafkajs();
  const clearly = <T extends { connect(): Promise<void> }>(one: T): T => {
    const { connect } = one;
    one.connect = () => tellingFaults(brokers, connect);
    return one;
  };
  class ClearKafka extends Kafka {
    override admin(...options: Parameters<Kafka['admin']>) { return clearly(super.admin(...options)); }
    override producer(...options: Parameters<Kafka['producer']>) { return clearly(super.producer(...options)); }
    override consumer(...options: Parameters<Kafka['consumer']>) { return clearly(super.consumer(...options)); }
  }
  return new ClearKafka({
    clientId: 'orderfold',
    brokers: [...brokers],
    ...(tls !== undefined && { ssl: { rejectUnauthorized: true, ...tlsMaterial(tls) } }),
    // kafkajs has one type per mechanism.
    ...(sasl !== undefined && { sasl: { ...sasl } as SASLOptions }),
    connectionTimeout: 3_000,
    requestTimeout: 10_000,
    retry: { initialRetryTime: 100, maxRetryTime: 1_000, retries: 5 },
    // kafkajs logs many transient errors. The others reject, and the caller reports them.
    logLevel: logLevel.NOTHING,
    ...options,
  });
}

const leaveMs = 3_000;

/** Ends a connection. Never rejects, and waits no longer than `ms` for one that hangs. */
export async function leave(connection: { disconnect(): Promise<void> }, ms = leaveMs): Promise<void> {
  await within(ms, () => new Error('it hangs'), connection.disconnect()).catch(() => undefined);
}

/**
 * Checks that a broker accepts the connection. When none can be reached, that is only logged: commands do not need it, and it may come back.
 * @throws OperatorError for a fault that does not pass by itself
 */
export async function checkKafka(config: KafkaConfig, logger: Logger): Promise<void> {
  const { brokers } = config;
  const admin = connectKafka(config, { retry: { retries: 0 } }).admin();
  try {
    await admin.connect();
    // A missing login is refused only at the first request.
    await tellingFaults(brokers, () => admin.describeCluster());
  } catch (error) {
    const fault = error instanceof OperatorError ? kafkaFaultOf(error.cause) : undefined;
    if (fault === 'hung up') logger.warn({}, toldOfKafka(fault, brokers));
    else if (fault !== undefined) throw error;
  } finally {
    await leave(admin);
  }
}

export function tlsMaterial({ ca, own }: NonNullable<KafkaConfig['tls']>): TlsMaterial {
  const authority = ca === undefined ? {} : { ca: read(ca, 'KAFKA_CA') };
  if (own === undefined) return authority;
  return { ...authority, cert: read(own.certificate, 'KAFKA_CERTIFICATE'), key: read(own.key, 'KAFKA_KEY') };
}

function read(file: string, setting: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new OperatorError(`A file for the connection to Kafka cannot be read (${(error as Error).message}): check ${setting}.`);
  }
}
