import type { Command } from 'commander';
import type { Service } from '../../../infrastructure/composition/compose.js';
import { openKafkaAdministration, openSearchAdministration } from '../../../infrastructure/composition/administration.js';
import { processEnvironment, readConfig, readKafkaSettings, readSearchConfig, settings, type Setting } from '../../../infrastructure/process/config.js';
import { openKeySet } from '../../../infrastructure/network/jwks.js';
import { runChecks } from '../terminal/checks.js';
import { settingsInForce } from '../terminal/settings-in-force.js';
import { table } from '../terminal/table.js';

export function registerDoctor(program: Command): void {
  program.command('doctor')
    .description('print the configuration that is in force, and check what it needs')
    .action(async () => {
      const environment = processEnvironment();
      console.log(table(Object.entries(settingsInForce(environment)).map(([setting, value]) => ({ setting, value, about: settings[setting as Setting].about }))));
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
      await check('Node.js', () => (Number(process.versions.node.split('.')[0]) >= 20 ? Promise.resolve(process.version) : Promise.reject(new Error(`${process.version}; 20 or later is needed`))));
      await check('configuration and adapters', async () => {
        const { compose } = await import('../../../infrastructure/composition/compose.js');
        service = await compose(readConfig({ LOG_LEVEL: 'error', ...environment }));
        return `profile ${service.config.profile} (${Object.entries(service.config.adapters).map((pair) => pair.join(' ')).join(', ')}), contexts ${service.config.contexts.join(', ')}, roles ${service.config.roles.join(', ')}, auth ${service.config.auth.mode}`;
      });
      if (service === undefined) return;
      const { stores, viewStates, config: { auth }, logger } = service;
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
      // Of what the profile uses.
      const checking = [
        ...service.config.adapters.views === 'elasticsearch' ? [{ about: 'Elasticsearch', open: () => openSearchAdministration(readSearchConfig(environment)) }] : [],
        ...service.config.kafka !== undefined ? [{ about: 'Kafka', open: () => Promise.resolve(openKafkaAdministration(readKafkaSettings(environment))) }] : [],
      ];
      for (const { about, open } of checking) {
        const administration = await open();
        try {
          await runChecks(administration.checks.map((one) => ({ ...one, what: `${about}, ${one.what}` })), false);
        } finally {
          await administration.close();
        }
      }
      await check('views', async () => (await viewStates()).map(({ name, progress, error }) => error !== undefined ? `${name} ${error}` : `${name} ${progress === undefined ? 'not begun' : `looked at ${progress.checkedAt}`}`).join(', '));
      await service.close();
    });
}
