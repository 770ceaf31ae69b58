#!/usr/bin/env node
import { Command } from 'commander';
import { Rejection } from '../../domain/shared/rejection.js';
import { OperatorError } from '../../infrastructure/process/operator-error.js';
import { version } from '../../infrastructure/process/package-root.js';
import { registerBench } from './commands/bench.js';
import { registerCommands } from './commands/commands.js';
import { registerDoctor } from './commands/doctor.js';
import { registerEvents } from './commands/events.js';
import { registerImport } from './commands/import.js';
import { registerKafka } from './commands/kafka.js';
import { registerLog } from './commands/log.js';
import { registerMigrate } from './commands/migrate.js';
import { registerSearch } from './commands/search.js';
import { registerServe } from './commands/serve.js';
import { registerViews } from './commands/views.js';

const program = new Command('orderfold')
  .description('Customers and orders, kept as events and asked as views. Settings come from the environment: see `orderfold doctor`.')
  .version(version)
  .showHelpAfterError();

for (const register of [registerServe, registerMigrate, registerImport, registerEvents, registerLog, registerViews, registerCommands, registerSearch, registerKafka, registerDoctor, registerBench]) register(program);

try {
  await program.parseAsync();
} catch (error) {
  // What an operator can mend is one line; anything else is a bug, and its stack is wanted.
  console.error(error instanceof OperatorError || error instanceof Rejection ? `orderfold: ${error.message}` : error);
  process.exitCode = 1;
}
