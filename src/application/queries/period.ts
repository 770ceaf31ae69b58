/** Named spans of time, in UTC. */
export const periods = ['this-month', 'last-month', 'last-7-days', 'last-30-days'] as const;
export type Period = (typeof periods)[number];

const dayMs = 86_400_000;

/** The bounds of a period as seen from `now`: `from` inclusive, `before` exclusive; a period that ends now has no upper bound. */
export function boundsOf(period: Period, now: Date): { from: string; before?: string } {
  const month = (offset: number) => new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + offset, 1)).toISOString();
  const ago = (days: number) => new Date(now.getTime() - days * dayMs).toISOString();
  switch (period) {
    case 'this-month': return { from: month(0), before: month(1) };
    case 'last-month': return { from: month(-1), before: month(0) };
    case 'last-7-days': return { from: ago(7) };
    case 'last-30-days': return { from: ago(30) };
  }
}
