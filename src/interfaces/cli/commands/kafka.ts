import type { Command } from 'commander';
import { openKafkaAdministration } from '../../../infrastructure/composition/administration.js';
import { processEnvironment, readKafkaSettings } from '../../../infrastructure/process/config.js';
import { runChecks } from '../terminal/checks.js';

export function registerKafka(program: Command): void {
  program.command('kafka').description('look after the Kafka that the events go through')
    .command('check').description('check the connection, the certificate, the login, the topics, their replication and the rights')
    .option('--json', 'as JSON')
    .action(async ({ json = false }: { json?: boolean }) => {
      const administration = openKafkaAdministration(readKafkaSettings(processEnvironment()));
      try {
        await runChecks(administration.checks, json);
      } finally {
        await administration.close();
      }
    });
}
