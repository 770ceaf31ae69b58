import { contextOf, type Context, type EventsOf } from '../../domain/events.js';

/** What a log stores of an event's content. */
export interface EncodedEvent {
  type: string;
  schemaVersion: number;
  data: Record<string, unknown>;
}

/** Rewrites the data of schema version n as version n + 1. */
export type Upcaster = (data: Record<string, unknown>) => Record<string, unknown>;

/** By event type: the upcasters from version 1 to 2, from 2 to 3, … A type that is not listed is at version 1. */
export type Upcasters = Readonly<Record<string, readonly Upcaster[]>>;

/** Every event goes in and out of a log through this: readers get today's shapes, however old the event is. */
export interface EventCodec {
  encode(event: EventsOf[Context]): EncodedEvent;
  /** May change `stored.data`. @throws Error when the event has a type or a shape that only newer code knows: to go on without it would be a guess */
  decode<C extends Context>(stored: EncodedEvent): EventsOf[C];
}

export function eventCodec(upcasters: Upcasters): EventCodec {
  return {
    encode(event) {
      const { type, ...data } = event;
      return { type, schemaVersion: (upcasters[type]?.length ?? 0) + 1, data };
    },
    decode<C extends Context>({ type, schemaVersion, data }: EncodedEvent) {
      if (!Object.hasOwn(contextOf, type)) throw new Error(`this version of the software knows no event ${type}: run the newer one`);
      const steps = upcasters[type];
      const today = (steps?.length ?? 0) + 1;
      if (schemaVersion > today) {
        throw new Error(`${type} is stored in schema version ${schemaVersion}, and this version of the software knows it up to ${today}: run the newer one`);
      }
      const shape = steps === undefined ? data : steps.slice(schemaVersion - 1).reduce((older, upcast) => upcast(older), data);
      shape.type = type;
      return shape as unknown as EventsOf[C];
    },
  };
}

/** Every event is still in its first shape. */
export const upcasters: Upcasters = {};
