export const feedNames = ['log', 'kafka'] as const;
export const commandQueueNames = ['memory', 'postgres', 'kafka'] as const;
export const viewStoreNames = ['memory', 'postgres', 'elasticsearch'] as const;

/** Which adapter each port has. */
export interface Adapters {
  log: 'memory' | 'postgres';
  feed: (typeof feedNames)[number];
  /** Where views live whose home is the query store; a context's own copy of another's data is stored beside its log. */
  views: (typeof viewStoreNames)[number];
  /** Where commands wait that are done later. */
  commands: (typeof commandQueueNames)[number];
}

/** Read across: what each profile is made of. This table is the whole difference between them; FEED, VIEWS and COMMAND_QUEUE change one column. */
export const profiles = {
  memory:     { log: 'memory',   feed: 'log',   views: 'memory',        commands: 'memory' },
  embedded:   { log: 'postgres', feed: 'log',   views: 'postgres',      commands: 'postgres' },
  production: { log: 'postgres', feed: 'kafka', views: 'elasticsearch', commands: 'postgres' },
} as const satisfies Record<string, Adapters>;

export type ProfileName = keyof typeof profiles;
