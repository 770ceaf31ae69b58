import type { Context } from '../../domain/events.js';
import type { Source } from './event-feed.js';

/** What the last message of a partition says of itself. */
export interface TopicEnd {
  position: number;
  /** Id of the event. */
  id: string;
  /** Names the log that it was published from. */
  epoch: string;
}

/**
 * How far a topic really goes: Kafka may be set up anew, a topic deleted, or its tail lost in the election of a leader.
 * A partition that has gone on behind a loss is given with the last message before it.
 */
export interface PublishedTopic {
  /** By source; partitions without a message are absent. */
  ends(context: Context): Promise<ReadonlyMap<Source, TopicEnd>>;
  /** Whether the partitions end where they were last seen to end. Costs one request. */
  unchanged(context: Context): Promise<boolean>;
}
