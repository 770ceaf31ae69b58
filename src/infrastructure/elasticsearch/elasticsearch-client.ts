import { readFile } from 'node:fs/promises';
import type { Client, ClientOptions } from '@elastic/elasticsearch';
import { Rejection } from '../../domain/shared/rejection.js';
import { OperatorError } from '../operator-error.js';

export interface ElasticsearchConfig {
  /** `https://…`. */
  url: string;
  username: string;
  password: string;
  /** PEM file; absent: the authorities that Node.js trusts. */
  ca?: string;
  /** Begins the name of every index and alias. */
  indexPrefix: string;
}

const requestTimeoutMs = 10_000;

/** Loaded at first use: it takes 0.4 s, which the other profiles need not wait for. */
export async function connectElasticsearch({ url, username, password, ca }: ElasticsearchConfig, options: ClientOptions = {}): Promise<Client> {
  const { Client } = await import('@elastic/elasticsearch');
  const authority = ca === undefined ? undefined : await readFile(ca).catch((error: unknown) => {
    throw new OperatorError(`The certificate authority of Elasticsearch cannot be read (${(error as Error).message}): check ELASTICSEARCH_CA.`);
  });
  return new Client({
    node: url, auth: { username, password }, tls: { rejectUnauthorized: true, ...(authority !== undefined && { ca: authority }) },
    // What failed is tried again by whoever asked: only they know whether it may be done twice.
    maxRetries: 0, requestTimeout: requestTimeoutMs, ...options,
  });
}

/** What is wrong with a cluster that does not answer as it should. */
export type Fault = 'certificate expired' | 'certificate not trusted' | 'certificate of another host' | 'plain HTTP' | 'login refused' | 'not allowed' | 'unreachable';

const advice: Record<Exclude<Fault, 'unreachable'>, string> = {
  'certificate expired': 'the certificate has expired: renew it',
  'certificate not trusted': 'the certificate is not signed by the authority in ELASTICSEARCH_CA: check that file',
  'certificate of another host': 'the certificate is for another host name: check ELASTICSEARCH_URL',
  'plain HTTP': 'it does not speak TLS there: check ELASTICSEARCH_URL',
  'login refused': 'it refused the login: check ELASTICSEARCH_USERNAME and ELASTICSEARCH_PASSWORD',
  'not allowed': 'the user may not do this: check the roles of ELASTICSEARCH_USERNAME',
};

/** `undefined` when `error` is about the request, not about the cluster. */
export function faultOf(error: unknown): Fault | undefined {
  if (!(error instanceof Error)) return undefined;
  const { name, message } = error;
  if (name === 'ResponseError') {
    const status = (error as { statusCode?: number }).statusCode ?? 0;
    if (status === 401) return 'login refused';
    if (status === 403) return /cluster_block|blocked by/.test(message) ? 'unreachable' : 'not allowed';
    return status === 429 || status >= 502 ? 'unreachable' : undefined;
  }
  if (name === 'ConnectionError') {
    if (/expired/i.test(message)) return 'certificate expired';
    if (/altname|does not match certificate/i.test(message)) return 'certificate of another host';
    if (/self.signed|unable to verify|unable to get (local )?issuer|certificate signature|UNABLE_TO/i.test(message)) return 'certificate not trusted';
    if (/wrong version number|packet length too long|unknown protocol|EPROTO/i.test(message)) return 'plain HTTP';
    return 'unreachable';
  }
  return ['TimeoutError', 'NoLivingConnectionsError', 'RequestAbortedError'].includes(name) ? 'unreachable' : undefined;
}

/**
 * Asks the cluster how it is. One that cannot be reached is no reason not to start: commands do without it, and it may come back.
 * @throws OperatorError for what does not pass by itself
 */
export async function checkElasticsearch(client: Client, url: string): Promise<void> {
  try {
    await client.cluster.health();
  } catch (error) {
    const fault = faultOf(error);
    if (fault === undefined) throw error;
    if (fault !== 'unreachable') throw new OperatorError(`Elasticsearch at ${url}: ${advice[fault]}.`);
  }
}

/** Runs `work`; whatever keeps the cluster from serving becomes the refusal `view.unavailable`. */
export async function refusingFaults<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const fault = faultOf(error);
    if (fault === undefined) throw error;
    throw new Rejection('view.unavailable', { reason: fault === 'unreachable' ? 'Elasticsearch cannot be reached' : `Elasticsearch: ${advice[fault]}` });
  }
}
