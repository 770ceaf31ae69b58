import type { Command } from 'commander';
import type { Service } from '../../../infrastructure/composition/compose.js';
import { openKafkaAdministration, openSearchAdministration, type SearchAdministration } from '../../../infrastructure/composition/administration.js';
import type { ViewState } from '../../../infrastructure/composition/health.js';
import {
  processEnvironment, readConfig, readKafkaSettings, readSearchConfig, settings, type Config, type Setting,
} from '../../../infrastructure/process/config.js';
import { openKeySet } from '../../../infrastructure/network/jwks.js';
import { runChecks } from '../terminal/checks.js';
import { settingsInForce } from '../terminal/settings-in-force.js';
import { table } from '../terminal/table.js';

export function registerDoctor(program: Command): void {
  program.command('doctor')
    .description('print the configuration that is in force, and check what it needs')
    .action(async () => {
      const environment = processEnvironment();
      const rows = Object.entries(settingsInForce(environment)).map(([setting, value]) => ({ setting, value, about: settings[setting as Setting].about }));
      console.log(table(rows));
      console.log();
      let service: Service | undefined;
      const check = async (what: string, work: () => Promise<string>) => {
        try {
          console.log(`ok      ${what}: ${await work()}`);
        } catch (error) {
          console.log(`FAILED  ${what}: ${(error as Error).message}`);
          process.exitCode = 1;
        }
      };
      await check('Node.js', nodeVersion);
      await check('configuration and adapters', async () => {
        const { compose } = await import('../../../infrastructure/composition/compose.js');
        service = await compose(readConfig({ LOG_LEVEL: 'error', ...environment }));
        return configurationInWords(service.config);
      });
      if (service === undefined) return;
      const { stores, viewStates, config: { auth, adapters, kafka }, logger } = service;
      if (auth.mode === 'jwt') {
        await check('keys of access tokens', async () => {
          await openKeySet(auth.jwks, logger);
          return auth.jwks;
        });
      }
      for (const [context, store] of Object.entries(stores)) {
        await check(`log of ${context}`, async () => {
          const { position, epoch } = await store.head();
          const { events } = await store.readLog({ after: Math.max(0, position - 1_000), limit: 1_000 });
          const first = Math.max(0, position - 1_000) + 1;
          const hole = events.findIndex((event, index) => event.position !== first + index);
          if (hole >= 0 || (events.at(-1)?.position ?? 0) < position) throw new Error(`there is a hole after position ${first + Math.max(hole, 0) - 1}`);
          return `${position} events, the last ${events.length} without a hole, epoch ${epoch}`;
        });
      }
      // Only the servers that the profile uses are checked.
      if (adapters.views === 'elasticsearch') await checkServer('Elasticsearch', await openSearchAdministration(readSearchConfig(environment)));
      if (kafka !== undefined) await checkServer('Kafka', openKafkaAdministration(readKafkaSettings(environment)));
      await check('views', async () => (await viewStates()).map(viewInWords).join(', '));
      await service.close();
    });
}

function nodeVersion(): Promise<string> {
  const { version, versions } = process;
  const isRecent = Number(versions.node.split('.')[0]) >= 20;
  return isRecent ? Promise.resolve(version) : Promise.reject(new Error(`${version}; 20 or later is needed`));
}

function configurationInWords({ profile, adapters, contexts, roles, auth }: Config): string {
  const parts = Object.entries(adapters).map((pair) => pair.join(' ')).join(', ');
  return `profile ${profile} (${parts}), contexts ${contexts.join(', ')}, roles ${roles.join(', ')}, auth ${auth.mode}`;
}

async function checkServer(about: string, administration: Pick<SearchAdministration, 'checks' | 'close'>): Promise<void> {
  try {
    await runChecks(administration.checks.map((one) => ({ ...one, what: `${about}, ${one.what}` })), false);
  } finally {
    await administration.close();
  }
}

function viewInWords({ name, progress, error }: ViewState): string {
  if (error !== undefined) return `${name} ${error}`;
  return `${name} ${progress === undefined ? 'not begun' : `looked at ${progress.checkedAt}`}`;
}
