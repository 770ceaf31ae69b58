import type { ElasticsearchConfig } from '../elasticsearch/elasticsearch-client.js';
import type { KafkaConfig, SaslMechanism } from '../kafka/server/kafka-client.js';
import { isLoopback } from './loopback.js';
import { OperatorError } from '../process/operator-error.js';

// Checks settings of a server that need each other, and refuses those that would send a password unencrypted.

export interface KafkaValues {
  KAFKA_BROKERS?: string;
  KAFKA_TLS: boolean;
  KAFKA_CA?: string;
  KAFKA_CERTIFICATE?: string;
  KAFKA_KEY?: string;
  KAFKA_SASL_MECHANISM?: SaslMechanism;
  KAFKA_USERNAME?: string;
  KAFKA_PASSWORD?: string;
  KAFKA_TOPIC_PREFIX: string;
}

export interface ElasticsearchValues {
  ELASTICSEARCH_URL?: string;
  ELASTICSEARCH_USERNAME?: string;
  ELASTICSEARCH_PASSWORD?: string;
  ELASTICSEARCH_API_KEY?: string;
  ELASTICSEARCH_CA?: string;
  ELASTICSEARCH_INDEX_PREFIX: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** @throws OperatorError when a setting is missing that another one needs */
export function kafkaConfig(values: KafkaValues, environment: Environment): KafkaConfig {
  const { KAFKA_BROKERS: brokers, KAFKA_TOPIC_PREFIX: topicPrefix } = values;
  if (brokers === undefined) throw new OperatorError('Kafka needs KAFKA_BROKERS (host:port).');
  const addresses = brokers.split(',');
  const tls = kafkaTls(values, environment);
  const sasl = kafkaSasl(values);
  const far = addresses.find((address) => !isLoopback(address.replace(/:\d+$/, '')));
  if (sasl?.mechanism === 'plain' && tls === undefined && far !== undefined) {
    throw new OperatorError(`KAFKA_SASL_MECHANISM=plain is refused without KAFKA_TLS=true: the password would travel to ${far} in the clear.`);
  }
  return { brokers: addresses, topicPrefix, ...(tls !== undefined && { tls }), ...(sasl !== undefined && { sasl }) };
}

function kafkaTls(values: KafkaValues, environment: Environment): KafkaConfig['tls'] {
  const { KAFKA_TLS: on, KAFKA_CA: ca, KAFKA_CERTIFICATE: certificate, KAFKA_KEY: key } = values;
  if (!on) {
    const [unused] = Object.entries({ KAFKA_CA: ca, KAFKA_CERTIFICATE: certificate, KAFKA_KEY: key }).find(([, value]) => value !== undefined) ?? [];
    if (unused !== undefined) throw new OperatorError(`${unused} is of no use without KAFKA_TLS=true.`);
    return undefined;
  }
  refuseAnyCertificate(environment, 'KAFKA_CA');
  if ((certificate === undefined) !== (key === undefined)) {
    throw new OperatorError('KAFKA_CERTIFICATE and KAFKA_KEY are of use together only: set both, or neither.');
  }
  return { ...(ca !== undefined && { ca }), ...(certificate !== undefined && key !== undefined && { own: { certificate, key } }) };
}

function kafkaSasl({ KAFKA_SASL_MECHANISM: mechanism, KAFKA_USERNAME: username, KAFKA_PASSWORD: password }: KafkaValues): KafkaConfig['sasl'] {
  if (mechanism !== undefined && username !== undefined && password !== undefined) return { mechanism, username, password };
  const needed = { KAFKA_SASL_MECHANISM: mechanism, KAFKA_USERNAME: username, KAFKA_PASSWORD: password };
  const missing = Object.entries(needed).filter(([, value]) => value === undefined).map(([name]) => name);
  if (missing.length < 3) {
    throw new OperatorError('A login to Kafka needs KAFKA_SASL_MECHANISM, KAFKA_USERNAME and KAFKA_PASSWORD: '
      + `${missing.join(' and ')} is missing.`);
  }
  return undefined;
}

/** @throws OperatorError when the URL or the credentials are missing, or the credentials are given twice */
export function elasticsearchConfig(values: ElasticsearchValues, environment: Environment): ElasticsearchConfig {
  const { ELASTICSEARCH_URL: url, ELASTICSEARCH_CA: ca, ELASTICSEARCH_INDEX_PREFIX: indexPrefix } = values;
  const { ELASTICSEARCH_USERNAME: username, ELASTICSEARCH_PASSWORD: password, ELASTICSEARCH_API_KEY: apiKey } = values;
  if (apiKey !== undefined && (username !== undefined || password !== undefined)) {
    throw new OperatorError('ELASTICSEARCH_API_KEY is refused beside ELASTICSEARCH_USERNAME and ELASTICSEARCH_PASSWORD: set the key, or user and password.');
  }
  const access = apiKey !== undefined ? { apiKey } : username !== undefined && password !== undefined ? { username, password } : undefined;
  if (url === undefined || access === undefined) {
    throw new OperatorError('VIEWS=elasticsearch needs ELASTICSEARCH_URL, and ELASTICSEARCH_USERNAME with ELASTICSEARCH_PASSWORD, or ELASTICSEARCH_API_KEY.');
  }
  if (!url.startsWith('https://')) {
    const secret = apiKey === undefined ? 'the password' : 'the key';
    throw new OperatorError(`ELASTICSEARCH_URL=${url} is refused: ${secret} would travel in the clear. Use https.`);
  }
  refuseAnyCertificate(environment, 'ELASTICSEARCH_CA');
  return { url, ...access, ...(ca !== undefined && { ca }), indexPrefix };
}

function refuseAnyCertificate(environment: Environment, name: string): void {
  if (environment.NODE_TLS_REJECT_UNAUTHORIZED !== '0') return;
  throw new OperatorError(`NODE_TLS_REJECT_UNAUTHORIZED=0 is refused: it would trust any certificate. Name the authority with ${name}.`);
}
