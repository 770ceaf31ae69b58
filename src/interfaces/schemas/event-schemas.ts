import Joi from 'joi';
import { contentType, type Envelope } from '../../application/log/message.js';
import type { Message } from '../../application/ports/event-publisher.js';
import { traceparentPattern } from '../../application/ports/tracer.js';
import type { CreditRefusal } from '../../domain/customers/customer.js';
import { contextOf, type EventOfType, type EventType } from '../../domain/events.js';
import { address, contactName, creditLimitMinor, currency, email, identifier, line, minor, name, reason, text } from './command-schemas.js';
import { storedInstant } from './instants.js';

// What the topics carry, for their readers: the AsyncAPI document is made from this, and the tests check every message against it.

/** What an event means, and a schema for each of its fields: one that is forgotten, or that the event does not have, does not compile. */
type EventSchemas = { readonly [T in EventType]: { means: string; data: Readonly<Record<Exclude<keyof EventOfType<T>, 'type'>, Joi.Schema>> } };

const creditRefusals = Object.keys({
  'customer.unknown': true, 'customer.suspended': true, 'customer.closed': true, 'credit.limit-exceeded': true,
} satisfies Record<CreditRefusal, true>);

const instant = storedInstant.required();
const at = instant.description('when it happened');
const customerId = identifier.required();
const orderId = identifier.required();
const totalMinor = minor().required().description('of the order, with shipping, in minor units');
const refusal = Joi.string().valid(...creditRefusals).required().description('why there is no credit');
const hold = { customerId, orderId, amountMinor: minor().required().description('the total of the order, in minor units'), at };

export const eventSchemas: EventSchemas = {
  CustomerRegistered: {
    means: 'There is a new customer, who may order.',
    data: { customerId, name: name.required(), contactName, email, address, currency: currency.required(), creditLimitMinor: creditLimitMinor.required(), at },
  },
  CustomerDetailsChanged: {
    means: 'Some details of a customer are different: a field that is absent stayed, null removed it.',
    data: { customerId, name, contactName: contactName.allow(null), email: email.allow(null), address: address.allow(null), at },
  },
  CreditLimitSet: { means: 'A customer has another credit limit, or none.', data: { customerId, creditLimitMinor: creditLimitMinor.required(), at } },
  CustomerSuspended: { means: 'A customer may not order for now.', data: { customerId, reason: reason.required(), at } },
  CustomerReactivated: { means: 'A customer who was suspended may order again.', data: { customerId, at } },
  CustomerClosed: { means: 'A customer has left: nothing changes afterwards.', data: { customerId, reason: reason.required(), at } },
  CreditReserved: { means: 'A part of the customer\'s credit is held for an order.', data: hold },
  CreditRefused: { means: 'An order does not get the credit that it needs.', data: { ...hold, reason: refusal } },
  CreditReleased: { means: 'The credit that an order held is free again.', data: hold },
  OrderPlaced: {
    means: 'There is a new order, which waits for its credit.',
    data: {
      orderId,
      customerId,
      customerName: name.required().description('as the orders context knew it then'),
      currency: currency.required(),
      lines: Joi.array().items(line).min(1).required(),
      shippingMinor: minor().required().description('in minor units'),
      subtotalMinor: minor().required().description('all lines after discount, in minor units'),
      totalMinor,
      at,
    },
  },
  OrderApproved: { means: 'The order has its credit, and may be shipped.', data: { orderId, customerId, at } },
  OrderRejected: { means: 'The order does not get its credit: it ends here.', data: { orderId, customerId, reason: refusal, totalMinor, at } },
  OrderPaid: { means: 'The order is paid.', data: { orderId, customerId, paymentReference: text(200).required(), totalMinor, at } },
  OrderShipped: { means: 'The order is on its way.', data: { orderId, customerId, carrier: text(100), trackingNumber: text(100), at } },
  OrderDelivered: { means: 'The order has arrived.', data: { orderId, customerId, at } },
  OrderCancelled: { means: 'The order was called off: it ends here.', data: { orderId, customerId, reason: reason.required(), totalMinor, at } },
};

const traceparent = Joi.string().pattern(traceparentPattern, 'a traceparent').description('W3C Trace Context: the span that stored the event');

const headers: Record<keyof Message['headers'], Joi.Schema> = {
  'content-type': Joi.string().valid(contentType).description('CloudEvents in the structured mode; a message that was published by an early version has none'),
  traceparent,
};
export const headersSchema = Joi.object(headers);

const count = (from: number) => Joi.number().integer().min(from).max(Number.MAX_SAFE_INTEGER).required();

/** The value of a message: CloudEvents 1.0 in JSON, with attributes of ours, around one type of event. */
export function messageSchema(type: EventType): Joi.ObjectSchema {
  const attributes: Record<keyof Envelope, Joi.Schema> = {
    specversion: Joi.string().valid('1.0').required().description('of CloudEvents'),
    id: Joi.string().required().description('of the event (UUIDv7): the same however often it is published'),
    source: Joi.string().valid(`/${contextOf[type]}`).required().description('the context that the event belongs to'),
    type: Joi.string().valid(type).required(),
    subject: Joi.string().required().description('the stream: `customer-<customerId>` or `order-<orderId>`'),
    time: instant.description('when it happened, as `data.at`'),
    datacontenttype: Joi.string().valid('application/json').required(),
    schemaversion: count(1).description('of `data`. It is raised when a field goes or means something else; messages that were published before keep theirs'),
    streamversion: count(1).description('1, 2, 3 … within the stream, without a hole'),
    recordedtime: instant.description('when it was stored; never goes back along positions'),
    position: count(1).description('1, 2, 3 … within the context\'s log, without a hole; within a partition it rises'),
    prev: count(0).description('`position` of the event before it in the same partition, 0 for the first one: the link of the chain'),
    partition: count(0).description('where the event belongs: a function of the customer and the number of partitions'),
    epoch: Joi.string().required().description(
      'names the log. Another one means another log (one restored from a backup), whose positions are not those that you have: '
      + 'stop, and start anew with it',
    ),
    correlationid: Joi.string().required().description(
      'of the request that began it all, handed on through every event that follows; `GET /traces/{correlationId}` shows them',
    ),
    causationid: Joi.string().description('`id` of the event that this one is the reaction to; absent when a caller\'s command caused it'),
    principal: Joi.string().allow('').required().description(
      'who gave the command: the token\'s `sub`, `import`, or `policy:<name>`; '
      + 'a `sub` that could be taken for such a name has `token:` before it',
    ),
    commandid: Joi.string().required().description('of the command that it comes from: the same for all events of one command'),
    traceparent,
    data: Joi.object(eventSchemas[type].data as Joi.SchemaMap).required(),
  };
  return Joi.object(attributes);
}
