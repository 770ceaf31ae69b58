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

const registrations = [
  registerServe,
  registerMigrate,
  registerImport,
  registerEvents,
  registerLog,
  registerViews,
  registerCommands,
  registerSearch,
  registerKafka,
  registerDoctor,
  registerBench,
];
for (const register of registrations) register(program);

try {
  await program.parseAsync();
} catch (error) {
  // An error that an operator can fix is one line; anything else is a bug, and is printed with its stack.
  console.error(error instanceof OperatorError || error instanceof Rejection ? `orderfold: ${error.message}` : error);
  process.exitCode = 1;
}
