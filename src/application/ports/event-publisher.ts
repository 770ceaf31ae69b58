import type { Context } from '../../domain/events.js';

/** One event on its way to a topic. */
export interface Message {
  partition: number;
  /** The customer: one customer's events of a context stay in order. */
  key: string;
  /** When the event was stored, in milliseconds since 1970. */
  timestamp: number;
  /** The envelope, as JSON. */
  value: string;
  headers: { 'content-type': string; traceparent?: string };
}

/**
 * Takes the events of a log to the context's topic.
 * - Resolves when every message is stored in its partition, in the order given; a message may get there more than once.
 * - After a rejection any of them may have got there, or not: the relay publishes again from its checkpoint.
 */
export interface EventPublisher {
  /** One call at a time for each context. */
  publish(context: Context, messages: readonly Message[]): Promise<void>;
}
