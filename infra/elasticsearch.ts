import { execFile } from 'node:child_process';
import { pbkdf2Sync, randomBytes } from 'node:crypto';
import { chown, cp, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { OperatorError } from '../src/infrastructure/process/operator-error.js';
import type { Certificates } from './certificates.js';
import { startServer, type Account } from './processes.js';
import type { Software } from './software.js';

const run = promisify(execFile);

/** The settings that matter to the service; docker-compose.yml has the same. */
export const nodeSettings = {
  'discovery.type': 'single-node',
  // An index is made by us from a view's declaration, or not at all.
  'action.auto_create_index': '-orderfold-*,+*',
  // Free space, not percent: a big disk that is 90 % full is no reason to stop.
  'cluster.routing.allocation.disk.watermark.low': '2gb',
  'cluster.routing.allocation.disk.watermark.high': '1gb',
  'cluster.routing.allocation.disk.watermark.flood_stage': '512mb',
  'xpack.security.enabled': 'true',
  'xpack.security.http.ssl.enabled': 'true',
};

/** What the application's user may do: its own indices, and look at the cluster's health. */
export const applicationRole = {
  cluster: ['monitor'],
  indices: [{ names: ['orderfold-*'], privileges: ['read', 'write', 'manage'] }],
};

export const applicationUser = 'orderfold';

export interface ElasticsearchPasswords { elastic: string; application: string }

/** A node with TLS and passwords, on 127.0.0.1; as root it runs as `nobody`. */
export async function startElasticsearch(
  directory: string, { javaHome, elasticsearch }: Software, certificates: Certificates, port: number, passwords: ElasticsearchPasswords,
): Promise<void> {
  const home = join(directory, 'elasticsearch');
  const config = join(home, 'config');
  const account = await serverAccount(home, elasticsearch);
  if (account !== undefined) await mayEnter(account, [dirname(home), elasticsearch]);
  await rm(config, { recursive: true, force: true });
  await mkdir(join(home, 'data'), { recursive: true });
  await cp(join(elasticsearch, 'config'), config, { recursive: true });
  for (const [name, file] of Object.entries(certificates) as [string, string][]) await cp(file, join(config, `${name}.pem`));
  const settings = {
    'cluster.name': 'orderfold',
    'path.data': join(home, 'data'),
    'path.logs': join(home, 'logs'),
    'network.host': '127.0.0.1',
    'http.port': port,
    'transport.port': 0,
    ...nodeSettings,
    'xpack.security.http.ssl.key': 'key.pem',
    'xpack.security.http.ssl.certificate': 'certificate.pem',
    'xpack.security.http.ssl.certificate_authorities': 'ca.pem',
  };
  // YAML is a superset of JSON.
  await writeFile(join(config, 'elasticsearch.yml'), JSON.stringify(settings, undefined, 2));
  await writeFile(join(config, 'roles.yml'), JSON.stringify({ [applicationUser]: applicationRole }, undefined, 2));
  await writeFile(join(config, 'users'), `${applicationUser}:${hashed(passwords.application)}\n`);
  await writeFile(join(config, 'users_roles'), `${applicationUser}:${applicationUser}\n`);
  await giveTo(account, home);
  const env = { PATH: process.env.PATH ?? '', ES_JAVA_HOME: javaHome, ES_PATH_CONF: config, ES_JAVA_OPTS: '-Xms1g -Xmx1g', ES_TMPDIR: join(home, 'tmp'), HOME: home };
  await mkdir(env.ES_TMPDIR, { recursive: true });
  await giveTo(account, env.ES_TMPDIR);
  const keystore = join(elasticsearch, 'bin/elasticsearch-keystore');
  await run(keystore, ['create'], { env, cwd: home, ...account });
  const adding = run(keystore, ['add', '--stdin', '--force', 'bootstrap.password'], { env, cwd: home, ...account });
  adding.child.stdin?.end(passwords.elastic);
  await adding;
  await startServer({
    name: 'Elasticsearch', command: join(elasticsearch, 'bin/elasticsearch'), args: [], cwd: home, env, account,
    pidFile: elasticsearchPidFile(directory), logFile: join(directory, 'elasticsearch.log'),
    ready: () => checkElasticsearch(port, certificates.ca, passwords),
  });
}

/** The launcher hands over to the server and stays its parent. */
export const elasticsearchCommand = 'elasticsearch';

export function elasticsearchPidFile(directory: string): string {
  return join(directory, 'elasticsearch.pid');
}

/** Rejects unless the node answers the application's user over TLS with a cluster that can be written. */
export async function checkElasticsearch(port: number, ca: string, passwords: ElasticsearchPasswords): Promise<void> {
  const options = { host: '127.0.0.1', port, path: '/_cluster/health', auth: `${applicationUser}:${passwords.application}`, ca: await readFile(ca), timeout: 5_000 };
  await new Promise<void>((resolve, reject) => {
    const asking = request(options, (answer) => {
      let body = '';
      answer.on('data', (chunk: Buffer) => { body += chunk.toString(); });
      answer.on('end', () => {
        const { status } = (answer.statusCode === 200 ? JSON.parse(body) : {}) as { status?: string };
        if (status === 'green' || status === 'yellow') resolve();
        else reject(new Error(`it answers ${answer.statusCode ?? 0} ${status ?? ''}`));
      });
    });
    asking.on('timeout', () => asking.destroy(new Error('no answer')));
    asking.on('error', reject);
    asking.end();
  });
}

async function serverAccount(home: string, software: string): Promise<Account | undefined> {
  await mkdir(home, { recursive: true });
  if (process.getuid?.() !== 0) return undefined;
  const id = async (flag: string) => Number((await run('id', [flag, 'nobody'])).stdout);
  const account = { uid: await id('-u'), gid: await id('-g') };
  await giveTo(account, software);
  return account;
}

async function mayEnter(account: Account, paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    for (let directory = path; directory !== dirname(directory); directory = dirname(directory)) {
      const { mode, uid, gid } = await stat(directory);
      const bit = uid === account.uid ? 0o100 : gid === account.gid ? 0o010 : 0o001;
      if ((mode & bit) === 0) {
        throw new OperatorError(`Elasticsearch refuses to run as root and runs as "nobody", who may not enter ${directory}: choose another place with INFRA_DIR, or use an ordinary user.`);
      }
    }
  }
}

async function giveTo(account: Account | undefined, path: string): Promise<void> {
  if (account === undefined) return;
  await chown(path, account.uid, account.gid);
  if (!(await stat(path)).isDirectory()) return;
  for (const name of await readdir(path)) await giveTo(account, join(path, name));
}

/** As Elasticsearch's file realm reads it. */
function hashed(password: string): string {
  const iterations = 10_000;
  const salt = randomBytes(32);
  const hash = pbkdf2Sync(password, salt, iterations, 32, 'sha512');
  return `{PBKDF2}${iterations}$${salt.toString('base64')}$${hash.toString('base64')}`;
}
