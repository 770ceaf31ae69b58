import { expect } from 'chai';
import { Kafka as KafkaBinding, type CloudEvent, type KafkaMessage } from 'cloudevents';
import fc from 'fast-check';
import { eventCodec, upcasters } from '../../src/application/log/codec.js';
import { chained, encodeMessage } from '../../src/application/log/message.js';
import type { RecordedEvent } from '../../src/application/ports/event-store.js';
import { contextOf, contexts, type Context, type EventType } from '../../src/domain/events.js';
import { eventSchemas, headersSchema, messageSchema } from '../../src/interfaces/schemas/event-schemas.js';
import { asyncApiOf, type Topics } from '../../src/interfaces/http/contract/asyncapi.js';
import { customerCommands, customerStream, orderCommands, orderStream, type Stream } from '../support/arbitraries.js';
import { logOf, partitions } from '../support/events.js';
import { faultsOf } from '../support/redocly.js';
import { startService } from '../support/service.js';

interface Document {
  info: { description: string };
  channels: Record<string, { address: string; parameters?: object; messages: Record<string, { $ref: string }>; bindings: { kafka: { topic?: string; partitions: number } } }>;
  operations: Record<string, { channel: { $ref: string } }>;
  components: { messages: Record<string, { name: string; payload: { required: string[]; properties: Record<string, { enum?: unknown[]; $ref?: string }> } }>; schemas: Record<string, { required: string[]; properties: object }> };
}

const types = Object.keys(contextOf) as EventType[];
/** It names no brokers, and so nothing of how to get in there. */
const without = ['security-defined'];
const codec = eventCodec(upcasters);
const published: Topics = { nameOf: (context) => `shop.${context}.events`, partitions, published: true };
const documentOf = (served: readonly Context[], topics = published) => asyncApiOf(served, topics, '1.0.0') as Document;
const messagesOf = (log: readonly RecordedEvent[]) => chained(log, partitions, new Map())
  .map(({ prev, source, event }) => encodeMessage(event, { prev, partition: Number(source.split('/')[1]), epoch: 'e' }, codec));
const valuesOf = (log: readonly RecordedEvent[]) => messagesOf(log).map(({ value }) => value);

/** What is wrong with a message, read strictly: nothing is converted, and nothing may be in it that is not described. */
function faultOf(value: string): string | undefined {
  const envelope = JSON.parse(value) as { type: EventType };
  return messageSchema(envelope.type).validate(envelope, { convert: false }).error?.message;
}

const registered = { type: 'RegisterCustomer', customerId: 'c-1', name: 'Ada', currency: 'EUR', creditLimitMinor: 1_000 } as const;
const line = { sku: 's-1', name: 'Lamp', quantity: 2, unitPriceMinor: 300 };
const customer = { name: 'Ada', status: 'active', currency: 'EUR' } as const;
const address = { street: 'St James’s Square 12', city: 'London', region: 'England', postalCode: 'SW1Y', country: 'UK' };

/** Every type of event, and each of its fields that may be absent. */
const everything: Stream[] = [
  customerStream('c-1', [
    { ...registered, contactName: 'Ada Lovelace', email: 'ada@example.com', address },
    { type: 'ChangeCustomerDetails', customerId: 'c-1', name: 'Ada K.', contactName: null, email: null, address: null },
    { type: 'SetCreditLimit', customerId: 'c-1', creditLimitMinor: 500 },
    { type: 'ReserveCredit', customerId: 'c-1', orderId: 'o-1', amountMinor: 400 },
    { type: 'ReserveCredit', customerId: 'c-1', orderId: 'o-2', amountMinor: 400 },
    { type: 'ReleaseCredit', customerId: 'c-1', orderId: 'o-1' },
    { type: 'SetCreditLimit', customerId: 'c-1', creditLimitMinor: null },
    { type: 'SuspendCustomer', customerId: 'c-1', reason: 'late' },
    { type: 'ReactivateCustomer', customerId: 'c-1' },
    { type: 'CloseCustomer', customerId: 'c-1', reason: 'moved' },
    { type: 'ReserveCredit', customerId: 'c-1', orderId: 'o-3', amountMinor: 1 },
  ]),
  customerStream('c-2', [{ type: 'ReserveCredit', customerId: 'c-2', orderId: 'o-4', amountMinor: 1 }, { ...registered, customerId: 'c-2', creditLimitMinor: null }]),
  orderStream('o-1', [
    { type: 'PlaceOrder', orderId: 'o-1', customerId: 'c-1', currency: 'EUR', lines: [{ ...line, discountMinor: 200 }, line], shippingMinor: 90, customer },
    { type: 'ApproveOrder', orderId: 'o-1' },
    { type: 'PayOrder', orderId: 'o-1', paymentReference: 'p' },
    { type: 'ShipOrder', orderId: 'o-1', carrier: 'Post', trackingNumber: 't-1' },
    { type: 'DeliverOrder', orderId: 'o-1' },
  ]),
  orderStream('o-2', [{ type: 'PlaceOrder', orderId: 'o-2', customerId: 'c-1', currency: 'EUR', lines: [line], customer }, { type: 'RejectOrder', orderId: 'o-2', reason: 'customer.suspended' }]),
  orderStream('o-3', [{ type: 'PlaceOrder', orderId: 'o-3', customerId: 'c-1', currency: 'EUR', lines: [line], customer }, { type: 'CancelOrder', orderId: 'o-3', reason: 'late' }]),
];

describe('the AsyncAPI document', function () {
  this.timeout(60_000);

  it('is served to everybody and without a fault, also where nothing is published', async () => {
    const service = await startService();
    try {
      const { status, body } = await service.ask('GET', '/asyncapi.json') as { status: number; body: Document };
      expect(status).to.equal(200);
      expect(body.channels['orders-events']).to.deep.include({ address: '{prefix}orders.events', parameters: { prefix: { description: 'KAFKA_TOPIC_PREFIX', default: 'orderfold.' } } });
      expect(body.info.description).to.include('This service publishes no events');
      expect(await faultsOf(body, without)).to.deep.equal([]);
    } finally {
      await service.end();
    }
  });

  it('names the topics where there are some', async () => {
    const document = documentOf(contexts);
    expect(Object.values(document.channels).map(({ address, parameters, bindings: { kafka } }) => [address, parameters, kafka.topic, kafka.partitions])).to.deep.equal([
      ['shop.customers.events', undefined, 'shop.customers.events', partitions],
      ['shop.orders.events', undefined, 'shop.orders.events', partitions],
    ]);
    expect(document.info.description).to.not.include('publishes no events');
    expect(await faultsOf(document, without)).to.deep.equal([]);
  });

  it('has every type of event once, in the topic of its context', () => {
    const { channels, components } = documentOf(contexts);
    const carried = Object.entries(channels).flatMap(([channel, { messages }]) => Object.entries(messages).map(([type, { $ref }]) => [type, channel, $ref]));
    expect(carried).to.have.deep.members(types.map((type) => [type, `${contextOf[type]}-events`, `#/components/messages/${type}`]));
    expect(Object.keys(components.messages)).to.have.members(types);
    expect(Object.keys(components.schemas)).to.have.members(types);
    for (const type of types) {
      const { name, payload } = components.messages[type]!;
      expect([name, payload.properties.type?.enum, payload.properties.source?.enum, payload.properties.data]).to.deep.equal([type, [type], [`/${contextOf[type]}`], { $ref: `#/components/schemas/${type}` }]);
      expect(payload.required).to.include.members(['position', 'prev', 'partition', 'epoch', 'data']);
      expect(components.schemas[type]!.required).to.include.members(['customerId', 'at']);
      expect(Object.keys(components.schemas[type]!.properties)).to.deep.equal(Object.keys(eventSchemas[type].data));
    }
  });

  it('has only what the process serves', () => {
    const { channels, operations, components } = documentOf(['orders']);
    expect([Object.keys(channels), Object.keys(operations)]).to.deep.equal([['orders-events'], ['publish-orders-events']]);
    expect(Object.keys(components.messages)).to.have.members(types.filter((type) => contextOf[type] === 'orders'));
  });

  it('leaves room for what is added later', () => {
    expect(JSON.stringify(documentOf(contexts))).to.not.include('additionalProperties');
  });
});

describe('a message', () => {
  const log = logOf(everything);

  it('of every type is as it is described, with all of its fields', () => {
    expect([...new Set(log.map(({ data }) => data.type))]).to.have.members(types);
    const seen = new Map(types.map((type) => [type, new Set(log.flatMap(({ data }) => (data.type === type ? Object.keys(data) : [])))]));
    for (const type of types) expect([...seen.get(type)!], type).to.include.members(Object.keys(eventSchemas[type].data));
    for (const value of valuesOf(log)) expect(faultOf(value), value).to.equal(undefined);
  });

  it('of every type is an event to the SDK of CloudEvents, with the attributes and the data that we gave it', () => {
    const [last] = log.slice(-1);
    // As far as positions may ever go.
    const events = [...log, { ...last!, position: Number.MAX_SAFE_INTEGER, metadata: { ...last!.metadata, traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01` } }];
    for (const { key, value, headers } of messagesOf(events)) {
      expect(headersSchema.validate(headers, { convert: false }).error, value).to.equal(undefined);
      const event = KafkaBinding.toEvent({ key, value, headers } as unknown as KafkaMessage) as CloudEvent;
      expect(event.validate(), value).to.equal(true);
      expect(JSON.parse(JSON.stringify(event))).to.deep.equal({ ...JSON.parse(value) as object, partitionkey: key });
      // The SDK forgives longer names; the specification advises against them.
      expect(Object.keys(JSON.parse(value) as object).filter((name) => !/^[a-z0-9]{1,20}$/.test(name))).to.deep.equal([]);
    }
  });

  it('of any event is as it is described', () => {
    fc.assert(fc.property(
      fc.array(customerCommands(), { maxLength: 20 }), fc.array(orderCommands(), { maxLength: 20 }), fc.option(fc.uuid(), { nil: null }), fc.boolean(),
      (customers, orders, causationId, traced) => {
        const events = logOf([customerStream('c-1', [registered, ...customers]), orderStream('o-1', orders)])
          .map((event) => ({ ...event, metadata: { ...event.metadata, causationId, ...(traced && { traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01` }) } }));
        for (const value of valuesOf(events)) expect(faultOf(value), value).to.equal(undefined);
      },
    ));
  });

  it('that lacks something, or has something else, is not', () => {
    for (const value of valuesOf(log)) {
      const envelope = JSON.parse(value) as { data: object };
      for (const wrong of [{ ...envelope, prev: undefined }, { ...envelope, more: 1 }, { ...envelope, data: { ...envelope.data, at: undefined } }, { ...envelope, data: { ...envelope.data, more: 1 } }]) {
        expect(faultOf(JSON.stringify(wrong)), value).to.be.a('string');
      }
    }
  });
});
