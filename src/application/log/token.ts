import { contexts, type Context } from '../../domain/events.js';
import { Rejection } from '../../domain/shared/rejection.js';
import { source } from './partition.js';
import type { Progress } from '../ports/event-feed.js';
import type { EventStore } from '../ports/event-store.js';
import type { ViewStore } from '../ports/view-store.js';

/** "Show me at least this": an event's place, as `<context>:<position>:<partition>`; several are joined by commas. */
export interface ConsistencyToken {
  context: Context;
  position: number;
  partition: number;
}

export function formatToken({ context, position, partition }: ConsistencyToken): string {
  return `${context}:${position}:${partition}`;
}

/** @throws Rejection `input.invalid` */
export function parseTokens(text: string): ConsistencyToken[] {
  return text.split(',').map((part) => {
    const [, context, position, partition] = /^\s*([a-z]+):(\d{1,15}):(\d{1,4})\s*$/.exec(part) ?? [];
    const known = contexts.find((one) => one === context);
    if (known === undefined) {
      throw new Rejection('input.invalid', { errors: [{ pointer: 'Consistency-Token', message: 'must be <context>:<position>:<partition>, as it was given' }] });
    }
    return { context: known, position: Number(position), partition: Number(partition) };
  });
}

export function includes(applied: Progress, tokens: readonly ConsistencyToken[]): boolean {
  return tokens.every(({ context, position, partition }) => (applied[source(context, partition)] ?? 0) >= position);
}

/** @throws Rejection `input.invalid` for a token of what there is not and will not be, as far as that can be known */
export type TokenCheck = (tokens: readonly ConsistencyToken[]) => Promise<void>;

const headPatienceMs = 500;

/** At the door, so that nobody waits for what never comes. A log that is not at hand, or does not answer, is not asked. */
export function createTokenCheck(stores: Partial<Record<Context, Pick<EventStore, 'head'>>>, partitions: number): TokenCheck {
  const heads = new Map<Context, number>();
  const isBeyond = ({ context, position }: ConsistencyToken) => position > (heads.get(context) ?? 0);
  return async (tokens) => {
    if (tokens.some(({ partition }) => partition >= partitions)) throw notThere('a partition');
    for (const context of new Set(tokens.filter(isBeyond).map((token) => token.context))) {
      const store = stores[context];
      const position = store && await promptHead(store);
      if (position === undefined) continue;
      heads.set(context, position);
      if (tokens.some((token) => token.context === context && isBeyond(token))) throw notThere('an event');
    }
  };
}

function notThere(what: string): Rejection {
  return new Rejection('input.invalid', { errors: [{ pointer: 'Consistency-Token', message: `names ${what} that there is not` }] });
}

async function promptHead(store: Pick<EventStore, 'head'>): Promise<number | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => { timer = setTimeout(() => { resolve(undefined); }, headPatienceMs); });
  try {
    return await Promise.race([store.head().then(({ position }) => position, () => undefined), late]);
  } finally {
    clearTimeout(timer);
  }
}

const pollMs = 5;

/**
 * Resolves when the view has applied everything that the tokens name; tokens of contexts that it is not folded from do not concern it.
 * @throws Rejection `view.behind` after `waitMs`
 */
export async function waitFor(
  view: { name: string; contexts: readonly Context[] }, store: Pick<ViewStore<object>, 'progress'>, tokens: readonly ConsistencyToken[], waitMs: number,
): Promise<void> {
  const relevant = tokens.filter(({ context }) => view.contexts.includes(context));
  if (relevant.length === 0) return;
  const deadline = performance.now() + waitMs;
  for (;;) {
    const progress = await store.progress();
    if (progress !== undefined && includes(progress.applied, relevant)) return;
    if (performance.now() >= deadline) throw new Rejection('view.behind', { view: view.name, waitedMs: waitMs });
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}
