import { readFile } from 'node:fs/promises';
import type { Client, ClientOptions } from '@elastic/elasticsearch';
import { Rejection } from '../../domain/shared/rejection.js';
import { OperatorError } from '../process/operator-error.js';
import { tlsFaultOf, type TlsFault } from '../network/tls.js';

export type ElasticsearchConfig = {
  /** Begins with `https://`. */
  url: string;
  /** Name of a PEM file; absent: the authorities that Node.js trusts. */
  ca?: string;
  /** Begins the name of every index and alias. */
  indexPrefix: string;
} & ({ username: string; password: string } | { apiKey: string });

const requestTimeoutMs = 10_000;

/** The client is loaded at first use: that takes 0.4 s, which the other profiles need not wait for. */
export async function connectElasticsearch(config: ElasticsearchConfig, options: ClientOptions = {}): Promise<Client> {
  const { url, ca } = config;
  const { Client } = await import('@elastic/elasticsearch');
  const authority = ca === undefined ? undefined : await readFile(ca).catch((error: unknown) => {
    throw new OperatorError(`The certificate authority of Elasticsearch cannot be read (${(error as Error).message}): check ELASTICSEARCH_CA.`);
  });
  return new Client({
    node: url,
    auth: 'apiKey' in config ? { apiKey: config.apiKey } : { username: config.username, password: config.password },
    tls: { rejectUnauthorized: true, ...(authority !== undefined && { ca: authority }) },
    // The caller retries: only it knows whether a request may be sent twice.
    maxRetries: 0,
    requestTimeout: requestTimeoutMs,
    // Otherwise an error contains the connection, and its log line the certificate authority byte by byte.
    redaction: { type: 'remove' },
    ...options,
  });
}

/** Why a cluster does not answer as it should. */
export type Fault =
  | TlsFault
  | 'login refused'
  | 'not allowed'
  | 'not Elasticsearch'
  | 'index missing'
  | 'index blocked'
  | 'unreachable';

const advice: Record<Fault, string> = {
  'certificate expired': 'the certificate has expired: renew it',
  'certificate not yet valid': 'the certificate is not valid yet: compare the clocks of both machines',
  'certificate of another host': 'the certificate is for another host name: check ELASTICSEARCH_URL',
  'certificate not trusted': 'the certificate is not signed by the authority in ELASTICSEARCH_CA: check that file',
  'own certificate refused': 'it wants a certificate of ours, which is not supported: log in with a user or an API key',
  'not TLS': 'it does not speak TLS there: check ELASTICSEARCH_URL',
  'no common TLS': 'no TLS connection could be agreed on: compare the versions and ciphers of both sides',
  'login refused': 'it refused the login: check ELASTICSEARCH_USERNAME and ELASTICSEARCH_PASSWORD, or ELASTICSEARCH_API_KEY',
  'not allowed': 'the user may not do this: check the roles of ELASTICSEARCH_USERNAME, or the privileges of ELASTICSEARCH_API_KEY',
  'not Elasticsearch': 'what answers there is not Elasticsearch: check ELASTICSEARCH_URL',
  'index missing': 'the index is missing: `orderfold search create` makes it, and the view is folded anew',
  'index blocked': 'the index takes no changes, as when its disk is too full: it goes on when there is space, or when the block is removed',
  'unreachable': 'it cannot be reached',
};

/** A fault that the answer states for a single item, where the whole request succeeded. */
export class ElasticsearchFault extends Error {
  override readonly name = 'ElasticsearchFault';

  constructor(readonly fault: Fault, message: string) {
    super(message);
  }
}

/** `undefined` when `error` is about the request, not about the cluster. */
export function faultOf(error: unknown): Fault | undefined {
  if (error instanceof ElasticsearchFault) return error.fault;
  if (!(error instanceof Error)) return undefined;
  switch (error.name) {
    case 'ResponseError': {
      const { statusCode = 0, body } = error as { statusCode?: number; body?: { error?: { type?: string } } };
      return faultOfAnswer(statusCode, body?.error?.type);
    }
    case 'ConnectionError': return connectionFaultOf(error.message);
    case 'ProductNotSupportedError': return 'not Elasticsearch';
    case 'TimeoutError': case 'NoLivingConnectionsError': case 'RequestAbortedError': return 'unreachable';
    default: return undefined;
  }
}

/** `message` comes from OpenSSL, Node.js or the client. */
export function connectionFaultOf(message: string): Fault {
  return tlsFaultOf(message) ?? 'unreachable';
}

/** `status` belongs to a whole answer, or to an item in it. */
export function faultOfAnswer(status: number, type = ''): Fault | undefined {
  if (type === 'index_not_found_exception') return 'index missing';
  if (type === 'security_exception') return status === 401 ? 'login refused' : 'not allowed';
  if (status === 401) return 'login refused';
  if (type === 'cluster_block_exception' && (status === 403 || status === 429)) return 'index blocked';
  if (status === 403) return 'not allowed';
  return status === 429 || status >= 502 ? 'unreachable' : undefined;
}

/** Whether the fault passes by itself, or once there is disk space: the service starts all the same. */
export function passes(fault: Fault): boolean {
  return fault === 'unreachable' || fault === 'index blocked';
}

/** Describes the fault in a sentence for the operator. */
export function told(fault: Fault, url?: string): string {
  return `Elasticsearch${url === undefined ? '' : ` at ${url}`}: ${advice[fault]}.`;
}

/**
 * Asks for the health of the cluster. When it cannot be reached, the service starts all the same: commands do not need it, and it may come back.
 * @throws OperatorError for a fault that does not pass by itself
 */
export async function checkElasticsearch(client: Client, url: string): Promise<void> {
  try {
    await client.cluster.health();
  } catch (error) {
    const fault = faultOf(error);
    if (fault === undefined) throw error;
    if (!passes(fault)) throw new OperatorError(told(fault, url));
  }
}

/** Runs `work`; a fault of the cluster becomes the refusal `view.unavailable`. */
export async function refusingFaults<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const fault = faultOf(error);
    if (fault !== undefined) {
      const reason = fault === 'unreachable' ? 'Elasticsearch cannot be reached' : `Elasticsearch: ${advice[fault]}`;
      throw new Rejection('view.unavailable', { reason });
    }
    if (error instanceof OperatorError) throw new Rejection('view.unavailable', { reason: error.message });
    throw error;
  }
}
