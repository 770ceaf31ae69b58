import { contexts, type Context } from '../../domain/events.js';
import { Rejection } from '../../domain/shared/rejection.js';
import { within } from '../concurrency/within.js';
import type { ConsistencyToken } from '../ports/event-feed.js';
import type { EventStore } from '../ports/event-store.js';

export function formatToken({ context, position, partition }: ConsistencyToken): string {
  return `${context}:${position}:${partition}`;
}

/** @throws Rejection `input.invalid` */
export function parseTokens(text: string): ConsistencyToken[] {
  return text.split(',').map((part) => {
    const [, context, position, partition] = /^\s*([a-z]+):(\d{1,15}):(\d{1,4})\s*$/.exec(part) ?? [];
    const known = contexts.find((one) => one === context);
    if (known === undefined) {
      throw invalidToken('must be <context>:<position>:<partition>, as it was given');
    }
    return { context: known, position: Number(position), partition: Number(partition) };
  });
}

/** @throws Rejection `input.invalid` for a token that names an event or a partition that does not exist, as far as that can be known */
export type TokenCheck = (tokens: readonly ConsistencyToken[]) => Promise<void>;

const headPatienceMs = 500;

/** Tokens are checked first, so that no request waits for an event that never comes. A log that is not at hand, or does not answer in time, is passed over. */
export function createTokenCheck(stores: Partial<Record<Context, Pick<EventStore, 'head'>>>, partitions: number): TokenCheck {
  const heads = new Map<Context, number>();
  const isBeyond = ({ context, position }: ConsistencyToken) => position > (heads.get(context) ?? 0);
  return async (tokens) => {
    if (tokens.some(({ partition }) => partition >= partitions)) throw notThere('a partition');
    for (const context of new Set(tokens.filter(isBeyond).map((token) => token.context))) {
      const store = stores[context];
      const position = store && await within(headPatienceMs, () => new Error('no answer'), store.head()).then((head) => head.position, () => undefined);
      if (position === undefined) continue;
      heads.set(context, position);
      if (tokens.some((token) => token.context === context && isBeyond(token))) throw notThere('an event');
    }
  };
}

function notThere(what: string): Rejection {
  return invalidToken(`names ${what} that there is not`);
}

function invalidToken(message: string): Rejection {
  return new Rejection('input.invalid', { errors: [{ pointer: 'Consistency-Token', message }] });
}
