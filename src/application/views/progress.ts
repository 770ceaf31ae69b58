import type { Context } from '../../domain/events.js';
import type { Progress, Source } from '../ports/event-feed.js';
import type { ViewProgress } from '../ports/view-store.js';

/** The progress of a view that has not been folded yet. */
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

/** What a store keeps of a source: several projectors may each write the progress of their own. */
export interface SourceProgress {
  position: number;
  behindSince: string | null;
  checkedAt: string;
}

export type ProgressBySource = Partial<Record<Source, SourceProgress>>;

/** What is known at `progress.checkedAt` of each source that it speaks of. */
export function bySource({ applied, behindSince, checkedAt }: ViewProgress): ProgressBySource {
  return Object.fromEntries(Object.entries(applied).map(([source, position]) => [source, { position: position ?? 0, behindSince, checkedAt }]));
}

/** Takes what is newer of each source; a position never goes back. */
export function mergeSources(older: ProgressBySource, newer: ProgressBySource): ProgressBySource {
  const merged = { ...older };
  for (const [source, { position, ...rest }] of Object.entries(newer) as [Source, SourceProgress][]) {
    merged[source] = { ...rest, position: Math.max(position, older[source]?.position ?? 0) };
  }
  return merged;
}

/** A view is as far behind as its slowest source, and was last checked when the source that was checked longest ago was. */
export function overall(sources: ProgressBySource, epochs: ViewProgress['epochs']): ViewProgress {
  const all = Object.entries(sources) as [Source, SourceProgress][];
  const oldest = (times: readonly string[]) => [...times].sort()[0];
  return {
    applied: Object.fromEntries(all.map(([source, { position }]) => [source, position])),
    behindSince: oldest(all.flatMap(([, { behindSince }]) => behindSince ?? [])) ?? null,
    checkedAt: oldest(all.map(([, { checkedAt }]) => checkedAt)) ?? notBegun.checkedAt,
    epochs,
  };
}

/** A store holds less of its view than its writer counts on: the writer begins again with what is there. */
export class ViewSetBack extends Error {
  constructor(view: string) {
    super(`${view} was set back, by a crash of its server or by somebody who had it folded anew: its projector begins again with what is stored`);
  }
}

/** @throws ViewSetBack when less is stored than was counted on */
export function checkNotSetBack(view: string, stored: ProgressBySource, counted: Progress): void {
  const all = Object.entries(counted) as [Source, number][];
  if (all.some(([source, position]) => (stored[source]?.position ?? 0) < position)) throw new ViewSetBack(view);
}

/** A projector looks at the feed at least once a second: one that has not for longer is counted as behind since then. */
const silentAfterMs = 3_000;

/** Milliseconds since the oldest event that the view has not applied was stored; 0 when there is none. */
export function lagMs({ behindSince, checkedAt }: ViewProgress, now: Date): number {
  if (behindSince !== null) return Math.max(0, now.getTime() - Date.parse(behindSince));
  const silent = now.getTime() - Date.parse(checkedAt);
  return silent > silentAfterMs ? silent : 0;
}
