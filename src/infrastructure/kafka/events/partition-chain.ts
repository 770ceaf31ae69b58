import { linkOf, type ChainedEvent } from '../../../application/log/message.js';

/**
 * What a reader does with a message: take it; drop it, for it has it; read what is missing before it from the log; look for that in the topic from the
 * beginning; or leave it out and read on, for what is missing is published again behind it, and this one after that.
 */
export type Step = 'take' | 'drop' | 'read the log' | 'rewind' | 'read on';

/** A place behind which messages are missing. */
export interface Hole {
  /** The offset of the first message that could not be taken: a group begins before it again, whatever it has read since. */
  offset: string;
  /** `recordedAt` of that message's event. */
  since: string;
}

/** The chain of one partition, as one reader follows it. */
export class PartitionChain {
  private open: Hole | undefined;
  private rewound = false;

  constructor(private readonly logAtHand: boolean) {}

  /** Open until what is missing comes. Nothing is kept of what was left out meanwhile. */
  get hole(): Hole | undefined {
    return this.open;
  }

  /** `have`: position of the last event that was taken. */
  next({ prev, event }: Pick<ChainedEvent, 'prev' | 'event'>, offset: string, have: number): Step {
    const link = linkOf({ prev, event }, have);
    if (link === 'duplicate') return 'drop';
    if (link === 'next') {
      // What was left out may come only once: should it not come again, it is looked for.
      if (this.open !== undefined) this.rewound = false;
      this.open = undefined;
      return 'take';
    }
    // A view that was emptied, behind a group that had read it all: the topic is the faster source of the whole, and the only one without the log.
    if ((have === 0 || !this.logAtHand) && this.open === undefined && !this.rewound) {
      this.rewound = true;
      return 'rewind';
    }
    if (this.logAtHand) return 'read the log';
    this.open ??= { offset, since: event.recordedAt };
    return 'read on';
  }

  /** The partition was given out anew, and is read from where the group had noted. */
  begin(): void {
    this.open = undefined;
  }
}

/**
 * What a group notes of a partition that it is to read from `offset`. It stays one message behind: by the one that it reads again, whoever goes on sees
 * whether the subscriber still has all that was before it. And it stays before what is missing.
 */
export function offsetToCommit(offset: string, hole: Hole | undefined): string {
  return String(Math.max(0, Number(hole?.offset ?? offset) - 1));
}
