import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { freePort } from '../src/infrastructure/process/free-port.js';
import { OperatorError } from '../src/infrastructure/process/operator-error.js';
import { openEmbeddedPostgres } from '../src/infrastructure/postgres/embedded/embedded-postgres.js';
import { makeCertificates, type Certificates } from './certificates.js';
import { checkElasticsearch, elasticsearchCommand, elasticsearchPidFile, startElasticsearch } from './elasticsearch.js';
import { checkKafka, kafkaCommand, kafkaPidFile, startKafka, type Login } from './kafka.js';
import { stopServer } from './processes.js';
import { fetchSoftware } from './software.js';
import { certificatesDirectory, directory, readState, runningServers, settingsOf, stateFile, type State } from './state.js';

// Real Kafka, Elasticsearch and PostgreSQL on this machine, without containers: up, down, status, env.

const databases = ['customers', 'orders'] as const;

const commands: Record<string, () => Promise<void>> = { up, down, status, env };

async function up(): Promise<void> {
  await mkdir(directory, { recursive: true });
  const running = await runningServers();
  const state = await readState() ?? await newState();
  const say = (what: string) => { console.error(what); };
  const certificates = await makeCertificates(certificatesDirectory);
  if (!running.kafka || !running.elasticsearch) {
    if (!existsSync(join(directory, 'software'))) say('Fetching Kafka and Elasticsearch (about 200 MB, once) …');
    const software = await fetchSoftware(directory);
    await Promise.all([
      running.kafka ? undefined : startKafka(directory, software, state.ports, loginOf(state, certificates)).then(() => { say('Kafka is up.'); }),
      running.elasticsearch ? undefined : startElasticsearch(directory, software, certificates, state.ports.elasticsearch, state.passwords).then(() => { say('Elasticsearch is up.'); }),
    ]);
  }
  await makeDatabases();
  say('PostgreSQL is up.');
  await status();
}

async function down(): Promise<void> {
  const stopped = await Promise.all([
    stopServer(kafkaPidFile(directory), kafkaCommand), stopServer(elasticsearchPidFile(directory), elasticsearchCommand),
    existsSync(join(directory, 'postgres')) ? openEmbeddedPostgres(directory).then((server) => server.close()) : undefined,
  ]);
  console.error(stopped.some((one) => one === true) ? `Stopped; the data stays in ${directory}.` : 'Nothing was running.');
}

async function status(): Promise<void> {
  const state = await readState();
  const check = async (name: string, work: () => Promise<string>) => {
    try {
      console.error(`up    ${name}: ${await work()}`);
    } catch (error) {
      console.error(`down  ${name}: ${(error as Error).message}`);
      process.exitCode = 1;
    }
  };
  if (state === undefined) throw new OperatorError('Nothing was ever started here: npm run infra:up');
  await check('Kafka', async () => {
    await checkKafka(state.ports.broker);
    return `127.0.0.1:${state.ports.broker}`;
  });
  await check('Elasticsearch', async () => {
    await checkElasticsearch(state.ports.elasticsearch, join(certificatesDirectory, 'ca.crt'), state.passwords);
    return `https://127.0.0.1:${state.ports.elasticsearch}`;
  });
}

/** For a shell: eval "$(npm run --silent infra:env)". */
async function env(): Promise<void> {
  const state = await readState();
  if (state === undefined || !existsSync(join(directory, 'postgres'))) throw new OperatorError('Nothing was ever started here: npm run infra:up');
  const urls = await makeDatabases();
  const values = {
    CUSTOMERS_DATABASE_URL: urls.customers,
    ORDERS_DATABASE_URL: urls.orders,
    ...settingsOf(state),
  };
  for (const [name, value] of Object.entries(values)) console.log(`export ${name}='${value}'`);
}

async function newState(): Promise<State> {
  const secret = () => randomBytes(18).toString('base64url');
  const state = {
    ports: { broker: await freePort(), secureBroker: await freePort(), controller: await freePort(), elasticsearch: await freePort() }, passwords: { elastic: secret(), application: secret() },
  };
  await writeFile(stateFile, JSON.stringify(state, undefined, 2));
  await chmod(stateFile, 0o600);
  return state;
}

/** Its user is made with its data: what was made without stays without. */
function loginOf({ ports: { secureBroker: port }, passwords: { application: password } }: State, certificates: Certificates): Login | undefined {
  return port === undefined ? undefined : { port, certificates, password };
}

/** Starts the server where it does not run; it goes on after this process. A database per context. */
async function makeDatabases(): Promise<Record<typeof databases[number], string>> {
  const { url } = await openEmbeddedPostgres(directory);
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    for (const name of databases) {
      const { rowCount } = await client.query('select from pg_database where datname = $1', [name]);
      if (rowCount === 0) await client.query(`create database ${name}`);
    }
  } finally {
    await client.end();
  }
  return Object.fromEntries(databases.map((name) => [name, url.replace(/[^/]*$/, name)])) as Record<typeof databases[number], string>;
}

try {
  const name = process.argv[2] ?? '';
  const command = commands[name];
  if (command === undefined) throw new OperatorError(`There is no ${name}: one of ${Object.keys(commands).join(', ')}.`);
  await command();
} catch (error) {
  console.error(error instanceof OperatorError ? `infra: ${error.message}` : error);
  process.exitCode = 1;
}
