import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { postgresServers, stopPostgres, type TestServer } from '../test/support/postgres.js';
import { benchAppend, benchStreamRead } from './append.js';
import { benchEmmett } from './append-emmett.js';
import { benchFullLog } from './append-full.js';
import { benchConnections } from './connections.js';
import { spread, type Comparison, type Measurement } from './figures.js';
import { benchGrowth } from './growth.js';
import { benchHttp } from './http.js';
import { benchBacklog, benchSteadyLoad } from './production.js';
import { benchPagesInElasticsearch, benchPagesInPostgres } from './pages.js';
import { benchReservationLoads, benchReservations } from './reservations.js';
import { benchFold, benchList, benchMemory } from './views.js';

// `npm run bench`: what this machine does, now. Ours and the baseline take turns; the claim is the median of their ratios.

const { values, positionals } = parseArgs({ allowPositionals: true, options: { json: { type: 'boolean', default: false }, rounds: { type: 'string', default: '5' }, scale: { type: 'string', default: '1' } } });
const rounds = Number(values.rounds);
const scale = Number(values.scale);

const benches: Record<string, () => Promise<Comparison | Measurement | (Comparison | Measurement)[]>> = {
  append: () => onEachServer((server) => benchAppend(rounds, 'identity', server)),
  'append-gapless': () => onEachServer((server) => benchAppend(rounds, 'gapless', server)),
  'stream-read': () => benchStreamRead(rounds),
  http: () => benchHttp(rounds, 'identity'),
  'http-gapless': () => benchHttp(rounds, 'gapless'),
  connections: () => benchConnections(),
  reservations: async () => [await benchReservations(rounds), ...await benchReservationLoads(rounds)],
  fold: () => benchFold(rounds),
  list: () => benchList(rounds),
  memory: () => benchMemory(),
  growth: () => benchGrowth(scale),
  pages: () => benchPagesInPostgres(scale),
  // These take long, or install something: only when they are named.
  'append-full': () => benchFullLog(rounds),
  'append-emmett': () => onEachServer((server) => benchEmmett(rounds, server)),
  // These need `npm run infra:up`.
  'production-backlog': () => benchBacklog(),
  'production-load': () => benchSteadyLoad(),
  'production-pages': () => benchPagesInElasticsearch(scale),
};

const ofProduction = Object.keys(benches).filter((name) => name.startsWith('production'));
const onDemand = ['append-full', 'append-emmett'];
const chosen = positionals.length === 0 ? Object.keys(benches).filter((name) => !ofProduction.includes(name) && !onDemand.includes(name)) : positionals.flatMap((name) => (name === 'production' ? ofProduction : name));
const machine = { node: process.version, cpu: cpus()[0]?.model.trim(), cores: cpus().length };
const figures: (Comparison | Measurement)[] = [];
if (!values.json) console.log(`Node ${machine.node}, ${machine.cores} cores of ${machine.cpu ?? 'unknown'}, ${rounds} rounds\n`);
try {
  for (const name of chosen) {
    const bench = benches[name];
    if (bench === undefined) throw new Error(`no such bench: ${name}; there are ${Object.keys(benches).join(', ')}`);
    for (const figure of [await bench()].flat()) {
      figures.push(figure);
      if (!values.json) console.log(inWords(figure));
    }
  }
} finally {
  await stopPostgres();
}
if (values.json) console.log(JSON.stringify({ machine, rounds, figures }));

/** Embedded, and with TEST_DATABASE_URL on that server as well, in the same run. */
async function onEachServer(bench: (server: TestServer) => Promise<Comparison>): Promise<Comparison[]> {
  const figures: Comparison[] = [];
  for (const server of postgresServers) figures.push(await bench(server));
  return figures;
}

function inWords(figure: Comparison | Measurement): string {
  const round = (value: number) => (value >= 100 ? Math.round(value).toLocaleString('en') : value.toFixed(2));
  if ('ratio' in figure) {
    const { median, min, max } = figure.ratio;
    return `${figure.name}\n  ${round(spread(figure.ours).median)} against ${round(spread(figure.baseline).median)} ${figure.unit}: ratio ${median.toFixed(2)} (${min.toFixed(2)} to ${max.toFixed(2)})\n`;
  }
  const { median, min, max } = spread(figure.values);
  return `${figure.name}\n  ${round(median)} ${figure.unit} (${round(min)} to ${round(max)})\n`;
}
