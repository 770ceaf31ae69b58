import type { Context } from '../domain/events.js';
import type { ViewProgress } from './ports/view-store.js';

/** Of a view that nobody has folded yet. */
export const notBegun: ViewProgress = { applied: {}, behindSince: null, checkedAt: new Date(0).toISOString(), epochs: {} };

/** By context, the highest position that was applied. */
export function highestApplied({ applied }: ViewProgress): ReadonlyMap<Context, number> {
  const highest = new Map<Context, number>();
  for (const [source, position] of Object.entries(applied)) {
    const context = source.slice(0, source.indexOf('/')) as Context;
    highest.set(context, Math.max(highest.get(context) ?? 0, position ?? 0));
  }
  return highest;
}
