import type { Command } from 'commander';
import { openSearchAdministration, type SearchAdministration } from '../../../infrastructure/composition/administration.js';
import { processEnvironment, readSearchConfig } from '../../../infrastructure/process/config.js';
import { runChecks } from '../terminal/checks.js';
import { table } from '../terminal/table.js';

interface Options { json?: boolean }

export function registerSearch(program: Command): void {
  const search = program.command('search').description('look after the Elasticsearch that the views live in');
  const subcommand = (name: string, description: string, action: (administration: SearchAdministration, json: boolean) => Promise<void>) => {
    search.command(name).description(description)
      .option('--json', 'as JSON')
      .action(({ json = false }: Options) => withSearch((administration) => action(administration, json)));
  };
  subcommand('status', 'the cluster, and the index of each view', status);
  subcommand('create', 'make the indices and aliases that are missing; refuse those that are not as declared', create);
  subcommand('check', 'check the connection, the certificate, the login, the rights and the indices', ({ checks }, json) => runChecks(checks, json));
}

async function withSearch(work: (administration: SearchAdministration) => Promise<void>): Promise<void> {
  const administration = await openSearchAdministration(readSearchConfig(processEnvironment()));
  try {
    await work(administration);
  } finally {
    await administration.close();
  }
}

async function status(administration: SearchAdministration, json: boolean): Promise<void> {
  const found = await administration.status();
  if (json) {
    console.log(JSON.stringify(found));
    return;
  }
  console.log(`${found.url} is ${found.cluster}, ${found.nodes} node${found.nodes === 1 ? '' : 's'}`);
  console.log(table(found.indices.map(({ view, alias, index, health, documents, drift }) => ({
    view,
    alias,
    index: index ?? '(missing)',
    health,
    documents,
    drift: drift.join(', '),
  }))));
}

async function create(administration: SearchAdministration, json: boolean): Promise<void> {
  const made = await administration.create();
  if (json) console.log(JSON.stringify(made));
  else for (const { view, alias, outcome, why } of made) console.log(`${outcome.padEnd(7)} ${view}: ${why ?? alias}`);
  if (made.some(({ outcome }) => outcome === 'refused')) process.exitCode = 1;
}
