import { open, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { importLines } from '../../src/interfaces/cli/import/import-lines.js';
import { book } from '../support/book.js';
import { run, serve, type Environment } from '../support/cli.js';
import { notRun } from '../support/infra.js';
import { installation } from '../support/installation.js';
import { freshDatabase, temporaryDirectory } from '../support/postgres.js';
import { ask, eventually, startService } from '../support/service.js';
import { everyProfileSuite, type Answers, type LoadedService } from './every-profile.suite.js';

const secret = 'the same secret for every process of it';
const answers: Record<string, Answers> = {};
const suite = (name: string, start: (directory: string, file: string) => Promise<LoadedService>) => {
  const own: Answers = new Map();
  answers[name] = own;
  everyProfileSuite(name, own, async () => {
    const directory = await temporaryDirectory();
    const file = join(directory, 'book.ndjson');
    await writeFile(file, book.map((line) => `${JSON.stringify(line)}\n`).join(''));
    const service = await start(directory, file);
    return { ...service, end: async () => { await service.end(); await rm(directory, { recursive: true, force: true }); } };
  });
};

suite('memory', async (_, file) => {
  const service = await startService({ CURSOR_SECRET: secret });
  const { customers: { commands: customerCommands } = {}, orders: { commands: orderCommands } = {}, stores: { customers, orders } } = service;
  if (customerCommands === undefined || orderCommands === undefined || customers === undefined || orders === undefined) throw new Error('a context is missing');
  const input = await open(file);
  const { applied } = await importLines({ ...service, customerCommands, orderCommands, customersLog: customers }, input, {
    inFlight: 64, policyTimeoutMs: 30_000, rejectedFile: `${file}.rejected`, stop: new AbortController().signal, onProgress: () => undefined, outageMs: 30_000, onWaiting: () => undefined,
  });
  await input.close();
  const all = `customers:${(await customers.head()).position}:0, orders:${(await orders.head()).position}:0`;
  for (const path of ['/orders', '/customers', '/customers/tokyo/history']) await service.ask('GET', path, undefined, { 'consistency-token': all });
  return { url: service.url, applied, end: () => service.end() };
});

/** A service in a process of its own, and the book imported by another one beside it. */
const asProcesses = async (environment: Environment, file: string): Promise<Omit<LoadedService, 'end'> & { stop: () => Promise<unknown> }> => {
  const running = await serve(environment);
  const imported = await run(['import', file, '--json'], environment);
  expect(imported.code, imported.err).to.equal(0);
  const importedAt = new Date().toISOString();
  await eventually('the views have caught up', async () => {
    const views = (await ask(running.url, 'GET', '/ops/views')).body.items as { checkedAt: string; lagMs: number }[];
    return views.every(({ checkedAt, lagMs }) => checkedAt > importedAt && lagMs === 0);
  }, 30_000);
  return { url: running.url, applied: (JSON.parse(imported.out) as { applied: number }).applied, stop: () => running.stop() };
};

suite('embedded', async (directory, file) => {
  const { stop, ...service } = await asProcesses({ DATA_DIR: directory, LOG_LEVEL: 'fatal', CURSOR_SECRET: secret }, file);
  return { ...service, end: async () => { await stop(); } };
});

const production = installation('profiles');
if (production === undefined) notRun('the service on production');
else {
  suite('production', async (directory, file) => {
    const fresh = await freshDatabase({ migrated: false });
    const { stop, ...service } = await asProcesses({ ...production.settings, DATA_DIR: directory, DATABASE_URL: fresh.url }, file);
    return { ...service, end: async () => { await stop(); await production.forget(); await fresh.drop(); } };
  });
}

describe('the profiles', () => {
  const [first = '', ...others] = Object.keys(answers);
  for (const other of others) {
    it(`answer alike, byte for byte: ${other} as ${first}`, () => {
      const [expected, actual] = [answers[first]!, answers[other]!];
      expect(expected.size).to.be.greaterThan(250);
      expect([...actual.keys()]).to.deep.equal([...expected.keys()]);
      const different = [...expected].filter(([question, answer]) => actual.get(question) !== answer);
      for (const [question, answer] of different) expect(actual.get(question), question).to.equal(answer);
    });
  }
});

