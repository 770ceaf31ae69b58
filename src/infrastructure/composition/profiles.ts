import type { ContainerModule } from 'inversify';
import type { ProfileName } from '../config.js';
import { logFeed, memoryLog, memoryViews, postgresDatabases, postgresLog, postgresViews } from './modules.js';

/** Read across: what each profile is made of. This table is the whole difference between them. */
export const profiles = {
  //          connections         event log    feed     views
  memory:   [                     memoryLog,   logFeed, memoryViews],
  embedded: [postgresDatabases,   postgresLog, logFeed, postgresViews],
} satisfies Record<ProfileName, ContainerModule[]>;
