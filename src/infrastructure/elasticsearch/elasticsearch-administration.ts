import { readFile } from 'node:fs/promises';
import type { Client } from '@elastic/elasticsearch';
import type { ViewDeclaration } from '../../application/ports/view-store.js';
import type { Check } from '../network/check.js';
import { OperatorError } from '../process/operator-error.js';
import { certificateOf, checkListening, type Address } from '../network/tls.js';
import { connectElasticsearch, connectionFaultOf, faultOf, told, type ElasticsearchConfig } from './elasticsearch-client.js';
import { createIndex, indexNamesOf, indexState } from './elasticsearch-index.js';

/** The state of a view's index; `null`: there is none. */
interface IndexReport {
  view: string;
  alias: string;
  index: string | null;
  health: string | null;
  documents: number | null;
  /** Paths at which the mapping is not the declared one. */
  drift: readonly string[];
}

interface SearchStatus {
  url: string;
  cluster: string;
  nodes: number;
  indices: readonly IndexReport[];
}

interface Made {
  view: string;
  alias: string;
  outcome: 'made' | 'there' | 'refused';
  why?: string;
}

/** An operator's commands and checks for the cluster that the views live in. They need no database, and open no view. */
export interface SearchAdministration {
  status(): Promise<SearchStatus>;
  /** Makes the indices and aliases that are missing; one that differs from its declaration is left as it is. */
  create(): Promise<Made[]>;
  checks: readonly Check[];
  close(): Promise<void>;
}

/** The privileges that the store of a view needs on its indices: infra/elasticsearch.ts gives its user the same. */
const indexPrivileges = ['create_index', 'delete_index', 'manage', 'read', 'write'] as const;

export async function administerElasticsearch(config: ElasticsearchConfig, views: readonly ViewDeclaration[]): Promise<SearchAdministration> {
  const client = await connectElasticsearch(config);
  const { url, indexPrefix } = config;
  const telling = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      const fault = faultOf(error);
      throw fault === undefined ? error : new OperatorError(told(fault, url));
    }
  };
  return {
    status: () => telling(async () => {
      const [cluster, indices] = await Promise.all([
        client.cluster.health(),
        Promise.all(views.map((view) => reportOf(client, view, indexPrefix))),
      ]);
      return { url, cluster: cluster.status, nodes: cluster.number_of_nodes, indices };
    }),
    create: () => telling(() => Promise.all(views.map((view) => make(client, view, indexPrefix)))),
    checks: [
      { what: 'connection', vital: true, ask: () => connection(url) },
      { what: 'TLS', vital: true, ask: () => certificate(config) },
      { what: 'login', vital: true, ask: () => telling(() => login(client, config)) },
      { what: 'rights', vital: false, ask: () => telling(() => rights(client, config)) },
      ...views.map((view): Check => ({ what: `view ${view.name}`, vital: false, ask: () => telling(() => index(client, view, indexPrefix)) })),
    ],
    close: () => client.close(),
  };
}

async function reportOf(client: Client, view: ViewDeclaration, prefix: string): Promise<IndexReport> {
  const { alias, index, drift } = await indexState(client, view, prefix);
  if (index === undefined) return { view: view.name, alias, index: null, health: null, documents: null, drift };
  const [health, { count }] = await Promise.all([client.cluster.health({ index }), client.count({ index, query: { term: { deleted: false } } })]);
  return { view: view.name, alias, index, health: health.status, documents: count, drift };
}

async function make(client: Client, view: ViewDeclaration, prefix: string): Promise<Made> {
  const { alias } = indexNamesOf(view, prefix);
  const { index } = await indexState(client, view, prefix);
  try {
    await createIndex(client, view, prefix);
    return { view: view.name, alias, outcome: index === undefined ? 'made' : 'there' };
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
    return { view: view.name, alias, outcome: 'refused', why: error.message };
  }
}

async function connection(url: string): Promise<string> {
  const at = addressOf(url);
  await checkListening(at).catch((error: unknown) => {
    throw new OperatorError(`${at.host}:${at.port} cannot be reached (${(error as Error).message}): check ELASTICSEARCH_URL`);
  });
  return `${at.host}:${at.port}`;
}

async function certificate({ url, ca }: ElasticsearchConfig): Promise<string> {
  const { refusal, validUntil, daysLeft } = await certificateOf(addressOf(url), ca === undefined ? {} : { ca: await readFile(ca) })
    .catch((error: unknown) => { throw new OperatorError(told(connectionFaultOf((error as Error).message), url)); });
  if (refusal !== undefined) throw new OperatorError(`${told(connectionFaultOf(refusal), url)} It is valid until ${validUntil}`);
  return `the certificate is trusted, and valid until ${validUntil}: ${daysLeft} days left`;
}

async function login(client: Client, config: ElasticsearchConfig): Promise<string> {
  const { status, number_of_nodes: nodes } = await client.cluster.health();
  if (status === 'red') throw new OperatorError('the cluster is red: some of its data is not at hand');
  return `${who(config)}, the cluster is ${status} with ${nodes} node${nodes === 1 ? '' : 's'}`;
}

async function rights(client: Client, config: ElasticsearchConfig): Promise<string> {
  const names = `${config.indexPrefix}-*`;
  const { has_all_requested: all, cluster, index } = await client.security.hasPrivileges({
    cluster: ['monitor'],
    index: [{ names: [names], privileges: [...indexPrivileges] }],
  });
  const missing = [...Object.entries(cluster), ...Object.entries(index[names] ?? {})].filter(([, has]) => !has).map(([privilege]) => privilege);
  if (!all) {
    const cause = 'apiKey' in config ? 'its privileges' : 'the user\'s roles';
    throw new OperatorError(`${who(config)} lacks ${missing.join(', ')} on ${names}: check ${cause}`);
  }
  return `${who(config)} may do all that is needed on ${names}`;
}

async function index(client: Client, view: ViewDeclaration, prefix: string): Promise<string> {
  const { alias, index: found, health, documents, drift } = await reportOf(client, view, prefix);
  if (found === null) throw new OperatorError(`the alias ${alias} is missing: orderfold search create makes it`);
  if (drift.length > 0) {
    throw new OperatorError(`the mapping of ${found} is not the declared one (${drift.join(', ')}): `
      + "raise the view's revision, or delete the index to have it folded anew");
  }
  if (health === 'red') throw new OperatorError(`${found} is red: its data is not at hand`);
  return `${alias} is ${found}, ${health ?? ''}, ${documents ?? 0} documents, mapped as declared`;
}

/** URLs put IPv6 addresses in brackets. */
function addressOf(url: string): Address {
  const { hostname, port } = new URL(url);
  return { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port || 443) };
}

function who(config: ElasticsearchConfig): string {
  return 'apiKey' in config ? 'the API key' : config.username;
}
