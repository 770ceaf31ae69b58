import { pino } from 'pino';
import type { Logger } from '../../application/ports/logger.js';
import type { Config } from './config.js';

/** JSON lines on standard error: standard output is for what a person or a program asked for. */
export function createLogger(level: Config['logLevel']): Logger {
  return pino({ level }, pino.destination({ fd: 2, sync: true }));
}
