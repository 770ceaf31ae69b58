import type { Context } from '../../domain/events.js';
import { Rejection } from '../../domain/shared/rejection.js';
import { source } from '../log/partition.js';
import type { ConsistencyToken, Progress } from '../ports/event-feed.js';
import type { ViewStore } from '../ports/view-store.js';

export function includes(applied: Progress, tokens: readonly ConsistencyToken[]): boolean {
  return tokens.every(({ context, position, partition }) => (applied[source(context, partition)] ?? 0) >= position);
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
