import { rm } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { plainBroker, realServers } from '../support/infra.js';
import { freshDatabase, stopPostgres, temporaryDirectory } from '../support/postgres.js';
import { ownServers, serverNames, sharedServers } from './behind-proxies.js';
import { crashPoints, realCrashPoints } from './crash-points.js';
import { fullBroker } from './full-broker.js';
import { fullDisk } from './full-disk.js';
import { hotStreams } from './hot-streams.js';
import { kills } from './kill.js';
import { lostAnswers } from './lost-answers.js';
import { lostTopics } from './lost-topics.js';
import { outages } from './outages.js';
import { projectorKills } from './projectors.js';
import { faultNames, servers } from './servers.js';

// `npm run faults`: the long trials, not part of the quick tests. Each ends with one line of what it saw, or with the promise that was broken.

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: 'string', default: '1' },
    kills: { type: 'string', default: '50' },
    times: { type: 'string', default: '200' },
    seconds: { type: 'string', default: '60' },
    only: { type: 'string', default: '' },
    away: { type: 'string', default: '10' },
  },
});

const trials: Record<string, () => Promise<string>> = {
  outages: () => withPostgres(() => outages({ seconds: Number(values.seconds) })),
  'full-disk': () => fullDisk({ times: 3 }),
  'full-broker': () => withPostgres(fullBroker),
  'lost-topics': () => withPostgres(() => lostTopics({ seconds: Number(values.seconds) })),
  async streams() {
    const database = await freshDatabase();
    try {
      return await hotStreams(database.url, { seconds: Number(values.seconds) });
    } finally {
      await database.drop();
      await stopPostgres();
    }
  },
  async kill() {
    const dataDir = await temporaryDirectory();
    try {
      return await kills(dataDir, { kills: Number(values.kills), seed: Number(values.seed) });
    } finally {
      await rm(dataDir, { recursive: true, force: true });
    }
  },
  async 'lost-answers'() {
    if (plainBroker === undefined) throw new Error('Kafka is not up: npm run infra:up starts it');
    return await lostAnswers(plainBroker, { times: Number(values.times) });
  },
  async servers() {
    const faults = serverNames.flatMap((server) => faultNames.map((fault) => [server, fault] as const)).filter((one) => one.join(' ').includes(values.only));
    const environment = await ownServers();
    try {
      return await servers(environment, { seed: Number(values.seed), faults, faultMs: Number(values.away) * 1_000, say: console.log });
    } finally {
      await environment.close();
    }
  },
  async projectors() {
    const environment = await sharedServers();
    if (environment === undefined) throw new Error('npm run infra:up starts the servers that this needs');
    try {
      return await projectorKills(environment, { seed: Number(values.seed), seconds: Number(values.seconds) });
    } finally {
      await environment.close();
      await stopPostgres();
    }
  },
  async 'crash-points'() {
    const seed = Number(values.seed);
    const inMemory = await crashPoints({ seed });
    return realServers === undefined ? `${inMemory}; not run on real servers: npm run infra:up starts them` : `${inMemory}; ${await realCrashPoints(realServers, { seed })}`;
  },
};

const chosen = positionals.length === 0 ? Object.keys(trials) : positionals;
let failed = 0;
for (const name of chosen) {
  const began = performance.now();
  const trial = trials[name];
  if (trial === undefined) throw new Error(`no such trial: ${name}; there are ${Object.keys(trials).join(', ')}`);
  try {
    console.log(`${name}: ${await trial()} (${((performance.now() - began) / 1_000).toFixed(0)} s, seed ${values.seed})`);
  } catch (error) {
    failed++;
    console.error(`${name} FAILED (seed ${values.seed}):`, error);
  }
}
process.exitCode = failed === 0 ? 0 : 1;

async function withPostgres(trial: () => Promise<string>): Promise<string> {
  try {
    return await trial();
  } finally {
    await stopPostgres();
  }
}
