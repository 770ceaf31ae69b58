import type { ViewPage } from '../ports/view-store.js';

/** How many documents a list counts unless it is asked for more: counting on would cost more than the page. */
export const countedUpTo = 10_000;

/** What a page says of its total, when so many were counted: one above `upTo` is enough to know that there are more. */
export function totalOf(counted: number, upTo: number): Pick<ViewPage<unknown>, 'total' | 'totalIsAtLeast'> {
  if (upTo === 0) return {};
  return counted > upTo ? { total: upTo, totalIsAtLeast: true } : { total: counted };
}
