import type { Command } from 'commander';
import { withService } from '../terminal/with-service.js';

export function registerMigrate(program: Command): void {
  program.command('migrate')
    .description('bring the databases up to date (every start does it as well)')
    .action(async () => {
      await withService(async ({ stores }) => {
        await Promise.all(Object.values(stores).map((store) => store.head()));
        console.log('The databases are up to date.');
      });
    });
}
