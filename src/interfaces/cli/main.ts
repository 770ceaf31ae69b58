#!/usr/bin/env node
import { Command } from 'commander';
import { Rejection } from '../../domain/shared/rejection.js';
import { OperatorError } from '../../infrastructure/process/operator-error.js';
import { version } from '../../infrastructure/process/package-root.js';
import { registerBench } from './bench.js';
import { registerCommands } from './commands.js';
import { registerDoctor } from './doctor.js';
import { registerEvents } from './events.js';
import { registerImport } from './import.js';
import { registerKafka } from './kafka.js';
import { registerLog } from './log.js';
import { registerMigrate } from './migrate.js';
import { registerSearch } from './search.js';
import { registerServe } from './serve.js';
import { registerViews } from './views.js';

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
