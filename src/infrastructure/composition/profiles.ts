export const feedNames = ['log', 'kafka'] as const;
export const viewStoreNames = ['memory', 'postgres', 'elasticsearch'] as const;

/** Which adapter each port has. */
export interface Adapters {
  log: 'memory' | 'postgres';
  feed: (typeof feedNames)[number];
  /** Of the views whose home is the query store; a context's own copy of another's data lies beside its log. */
  views: (typeof viewStoreNames)[number];
}

/** Read across: what each profile is made of. This table is the whole difference between them; FEED and VIEWS change one column. */
export const profiles = {
  memory:     { log: 'memory',   feed: 'log',   views: 'memory' },
  embedded:   { log: 'postgres', feed: 'log',   views: 'postgres' },
  production: { log: 'postgres', feed: 'kafka', views: 'elasticsearch' },
} as const satisfies Record<string, Adapters>;

export type ProfileName = keyof typeof profiles;
