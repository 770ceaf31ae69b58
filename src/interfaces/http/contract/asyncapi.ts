import { contentType } from '../../../application/log/message.js';
import { contextOf, type Context, type EventType } from '../../../domain/events.js';
import { identifier } from '../../schemas/command-schemas.js';
import { eventSchemas, headersSchema, messageSchema } from '../../schemas/event-schemas.js';
import { schemaOf } from './json-schema.js';

export interface Topics {
  /** The topic of a context's events, with `{prefix}` for the part that is not known here. */
  nameOf: (context: Context) => string;
  /** Number of partitions of each topic. */
  partitions: number;
  /** Whether events are published to the topics; they are not where views read the log itself. */
  published: boolean;
}

const rules = [
  'What happened to customers and orders, as one Kafka topic per context, kept for ever: whoever comes late reads it from the beginning.',
  '## The chain',
  'Delivery is at least once: an event can come again, in the same partition and with the same numbers. '
    + 'Every message has its `position`, and in `prev` the position of the message before it in its partition. '
    + 'Keep the last position that you have of each partition, together with what you made of it; 0 before the first. Then, for each message:',
  '1. `position` at or below what you have: a duplicate. Drop it.\n'
    + '2. Otherwise, `prev` at or below what you have: the next one. Take it; what you have is now its `position`.\n'
    + '3. Otherwise a gap: what is after what you have, up to and including `prev`, is missing. Do not go on over it. '
    + 'If your offset was ahead of what you have, read the partition from its beginning; '
    + 'else fill the events in from the log, or, where you cannot reach it, stop that partition and say so.',
  '## CloudEvents',
  'Each message is a CloudEvent 1.0 in the structured mode of its Kafka binding: '
    + 'the header `content-type` says so, and the attributes that are not the specification\'s own are extensions. '
    + '`position` and `prev` are JSON numbers up to 2^53 - 1. '
    + 'CloudEvents\' own Integer ends at 2^31 - 1, and a reader that holds to it must take them as numbers of 64 bits.',
  '## Partitions',
  'The key is the customerId. Its partition is FNV-1a (32 bit: offset basis 0x811c9dc5, prime 0x01000193) over its UTF-16 code units, one step each, '
    + 'then `((hash ^ (hash >>> 16)) >>> 0) % partitions`; it is not the default of Kafka\'s clients. '
    + 'The rule and the number of partitions stay for a log\'s life. '
    + 'So one customer\'s events of a context are in order; between partitions, and between topics, there is no order.',
  '## Changes',
  'Ignore attributes and fields that you do not know: more of them can come without another `schemaversion`.',
];
const notPublished = '**This service publishes no events**: its views read the log itself. With `FEED=kafka` it would publish what is described here.';

/** AsyncAPI 3.0: what the topics of these contexts carry. It names no servers: where the broker is, and who may read there, is not for everybody. */
export function asyncApiOf(served: readonly Context[], topics: Topics, version: string): object {
  const types = (Object.keys(eventSchemas) as EventType[]).filter((type) => served.includes(contextOf[type]));
  return {
    asyncapi: '3.0.0',
    info: {
      title: 'Orderfold events',
      version,
      license: { name: 'MIT', url: 'https://spdx.org/licenses/MIT' },
      description: [...(topics.published ? [] : [notPublished]), ...rules].join('\n\n'),
    },
    defaultContentType: contentType,
    channels: Object.fromEntries(served.map((context) => [`${context}-events`, channelOf(context, types, topics)])),
    operations: Object.fromEntries(served.map((context) => [`publish-${context}-events`, {
      action: 'send',
      channel: { $ref: `#/channels/${context}-events` },
      summary: `Publishes every event of the ${context} context, in the order of its log`,
    }])),
    components: {
      messages: Object.fromEntries(types.map((type) => [type, messageOf(type)])),
      schemas: Object.fromEntries(types.map((type) => [type, open(schemaOf(messageSchema(type).extract('data')))])),
    },
  };
}

function channelOf(context: Context, types: readonly EventType[], { nameOf, partitions, published }: Topics): object {
  return {
    address: nameOf(context),
    title: `Events of ${context}`,
    description: `Every event of the ${context} context, once or more often. The key is the customerId.`,
    ...(!published && { parameters: { prefix: { description: 'KAFKA_TOPIC_PREFIX', default: 'orderfold.' } } }),
    messages: Object.fromEntries(types.filter((type) => contextOf[type] === context).map((type) => [type, { $ref: `#/components/messages/${type}` }])),
    bindings: {
      kafka: {
        ...(published && { topic: nameOf(context) }),
        partitions,
        topicConfiguration: { 'cleanup.policy': ['delete'], 'retention.ms': -1, 'retention.bytes': -1 },
        bindingVersion: '0.5.0',
      },
    },
  };
}

function messageOf(type: EventType): object {
  const envelope = schemaOf(messageSchema(type));
  return {
    name: type,
    title: type,
    summary: eventSchemas[type].means,
    contentType,
    correlationId: { location: '$message.payload#/correlationid' },
    headers: open(schemaOf(headersSchema)),
    payload: open({ ...envelope, properties: { ...envelope.properties, data: { $ref: `#/components/schemas/${type}` } } }),
    bindings: {
      kafka: {
        key: schemaOf(identifier.description('customerId: one customer\'s events are in one partition, in order')),
        bindingVersion: '0.5.0',
      },
    },
  };
}

/** The schema without `additionalProperties: false`: a new field breaks no reader that validates its messages. */
function open(schema: object): object {
  return JSON.parse(JSON.stringify(schema, (key, value: unknown) => (key === 'additionalProperties' ? undefined : value))) as object;
}
