import type { Context } from '../../domain/events.js';
import type { Message } from '../log/message.js';

/**
 * Takes the events of a log to the context's topic.
 * - Resolves when every message is stored in its partition, in the order given; a message may get there more than once.
 * - After a rejection any of them may have got there, or not: the relay publishes again from its checkpoint.
 */
export interface EventPublisher {
  /** One call at a time for each context. */
  publish(context: Context, messages: readonly Message[]): Promise<void>;
}
