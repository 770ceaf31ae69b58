import { OperatorError } from '../../process/operator-error.js';
import { tlsFaultOf, type TlsFault } from '../../network/tls.js';

/** What keeps a broker from serving us, and does not pass by itself; `hung up` may. */
export type KafkaFault = TlsFault | 'login refused' | 'mechanism not offered' | 'no login there' | 'not allowed' | 'hung up';

const advice: Record<KafkaFault, string> = {
  'certificate expired': 'its certificate has expired: renew it',
  'certificate not yet valid': 'its certificate is not valid yet: compare the clocks of both machines',
  'certificate of another host': 'its certificate is for another host name: check KAFKA_BROKERS',
  'certificate not trusted': 'its certificate is not signed by the authority in KAFKA_CA: check that file',
  'own certificate refused': 'it refuses our certificate, or misses one: check KAFKA_CERTIFICATE and KAFKA_KEY',
  'not TLS': 'it does not speak TLS there: check KAFKA_BROKERS and KAFKA_TLS',
  'no common TLS': 'no TLS connection could be agreed on: compare the versions and ciphers of both sides',
  'login refused': 'it refused the login: check KAFKA_USERNAME and KAFKA_PASSWORD',
  'mechanism not offered': 'it does not offer this way to log in: check KAFKA_SASL_MECHANISM',
  'no login there': 'it takes no login there: check KAFKA_BROKERS and KAFKA_SASL_MECHANISM',
  'not allowed': 'the user may not do this: check the ACLs of KAFKA_USERNAME',
  'hung up': 'it closed the connection without an answer: check KAFKA_BROKERS, and whether it wants TLS (KAFKA_TLS) or a login (KAFKA_SASL_MECHANISM)',
};

interface KafkaError { name: string; message: string; type?: string; cause?: unknown; errors?: unknown[] }

/** `undefined` when `error` is about something else, or passes by itself. */
export function kafkaFaultOf(error: unknown): KafkaFault | undefined {
  if (!(error instanceof Error)) return undefined;
  const { name, message, type = '', cause, errors = [] } = error as KafkaError;
  if (type === 'UNSUPPORTED_SASL_MECHANISM' || message.includes('mechanism is not supported')) return 'mechanism not offered';
  if (type === 'ILLEGAL_SASL_STATE') return 'no login there';
  if (name === 'KafkaJSSASLAuthenticationError' || type === 'SASL_AUTHENTICATION_FAILED') return 'login refused';
  if (type.endsWith('_AUTHORIZATION_FAILED')) return 'not allowed';
  if (name === 'KafkaJSConnectionClosedError' || /before secure TLS connection|ECONNRESET/.test(message)) return 'hung up';
  if (name === 'KafkaJSConnectionError') return tlsFaultOf(message);
  return [cause, ...errors].map(kafkaFaultOf).find((fault) => fault !== undefined);
}

const starting: ReadonlySet<string> = new Set(['GROUP_LOAD_IN_PROGRESS', 'GROUP_COORDINATOR_NOT_AVAILABLE', 'NOT_COORDINATOR_FOR_GROUP']);

/** A broker that has just started looks for its groups first. */
export function isStarting(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { type = '', cause } = error as KafkaError;
  return starting.has(type) || isStarting(cause);
}

/** In a sentence for the operator. */
export function toldOfKafka(fault: KafkaFault, brokers: readonly string[]): string {
  return `Kafka at ${brokers.join(',')}: ${advice[fault]}.`;
}

/** Rejects with what an operator can mend in those words, and with anything else as it is. */
export async function tellingFaults<T>(brokers: readonly string[], work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const fault = kafkaFaultOf(error);
    throw fault === undefined ? error : new OperatorError(toldOfKafka(fault, brokers), { cause: error });
  }
}
