import type { CommandOutcome } from '../../../application/commands/execute.js';
import { formatToken } from '../../../application/log/token.js';
import type { Clock } from '../../../application/ports/clock.js';
import type { ViewPage, ViewProgress } from '../../../application/ports/view-store.js';
import { highestApplied, lagMs } from '../../../application/views/progress.js';
import type { ViewState } from '../../../infrastructure/composition/health.js';
import type { Cursors } from '../request/cursor.js';
import type { Reply } from './route.js';

export function commandReply(outcome: CommandOutcome, status: 200 | 201, location: string): Reply {
  return {
    status,
    headers: {
      etag: `"${outcome.version}"`,
      location,
      'consistency-token': formatToken(outcome),
      ...(outcome.replayed && { 'idempotency-replayed': 'true' }),
    },
    body: outcome.body,
  };
}

/** Most partitions of one context that the header of a view that is behind names. */
const mostPartitionsShown = 16;

/**
 * `View-Position: orders=1234`: the highest position applied, per context. A view that is behind also names the partitions that have not got so far, the
 * slowest first: `orders=1234;p7=12;p3=1200`, a dictionary of RFC 9651. A view that is not behind names none: its partitions at lower positions have
 * nothing more to apply.
 */
export function freshness(progress: ViewProgress, clock: Clock): Record<string, string> {
  const lag = lagMs(progress, clock.now());
  const slower = (context: string, highest: number) => Object.entries(progress.applied)
    .map(([source, position = 0]) => ({ source, position }))
    .filter(({ source, position }) => source.startsWith(`${context}/`) && position < highest)
    .sort((a, b) => a.position - b.position)
    .slice(0, mostPartitionsShown)
    .map(({ source, position }) => `;p${source.slice(context.length + 1)}=${position}`)
    .join('');
  const positions = [...highestApplied(progress)].sort().map(([context, position]) => `${context}=${position}${lag > 0 ? slower(context, position) : ''}`);
  return { 'view-position': positions.join(', '), 'view-lag-ms': String(lag) };
}

interface Shown {
  cursors: Cursors;
  /** What the cursors are bound to. */
  query: unknown;
  clock: Clock;
  /** The fields that were counted, by public name. */
  facets?: Readonly<Record<string, string>>;
}

export function pageReply<D>(page: ViewPage<D>, { cursors, query, clock, facets }: Shown): Reply {
  const counts = facets && Object.fromEntries(Object.entries(facets).map(([name, field]) => [name, page.facets[field] ?? []]));
  return {
    status: 200,
    headers: freshness(page.progress, clock),
    body: {
      items: page.items.map(({ document }) => document),
      ...(page.total !== undefined && { total: page.total }),
      ...(page.totalIsAtLeast && { totalIsAtLeast: true }),
      ...(page.next !== undefined && { nextCursor: cursors.write(page.next, query) }),
      ...(counts !== undefined && { facets: counts }),
    },
  };
}

export function viewBody({ name, revision, progress, error }: ViewState, clock: Clock): object {
  const lag = progress === undefined ? null : lagMs(progress, clock.now());
  return { name, revision, positions: progress?.applied ?? {}, lagMs: lag, checkedAt: progress?.checkedAt ?? null, ...(error !== undefined && { error }) };
}
