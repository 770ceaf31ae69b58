import Joi from 'joi';
import { commandStatuses } from '../../../application/ports/command-queue.js';
import { currency, identifier } from '../../schemas/command-schemas.js';
import { storedInstant } from '../../schemas/instants.js';

// What answers look like, for the OpenAPI document.

const minor = Joi.number().integer();
const status = Joi.string().valid('placed', 'approved', 'rejected', 'shipped', 'delivered', 'cancelled');
const customerStatus = Joi.string().valid('active', 'suspended', 'closed');
const address = Joi.object({ street: Joi.string(), city: Joi.string(), region: Joi.string(), postalCode: Joi.string(), country: Joi.string() });

export const commandResult = Joi.object({
  id: identifier.required(),
  version: Joi.number().integer().required().description('of what was changed, afterwards'),
  position: Joi.number().integer().required().description('in the context\'s log, of its last event'),
  events: Joi.array().items(Joi.string()).required().description('what happened; empty when it was so already'),
});

export const acceptedCommand = Joi.object({ commandId: identifier.required(), status: Joi.string().valid('accepted').required() });

export const commandStatus = Joi.object({
  commandId: identifier.required(),
  type: Joi.string().required(),
  status: Joi.string().valid(...commandStatuses).required(),
  correlationId: Joi.string().required(),
  acceptedAt: storedInstant.required(),
  deadline: storedInstant,
  startedAt: storedInstant,
  finishedAt: storedInstant,
  result: commandResult.description('when it succeeded: what it led to'),
  etag: Joi.string(),
  location: Joi.string(),
  consistencyToken: Joi.string(),
  problem: Joi.object().unknown().description('when it was refused, or failed: why (RFC 9457)'),
});

const line = Joi.object({
  sku: Joi.string().required(),
  name: Joi.string().required(),
  quantity: minor.required(),
  unitPriceMinor: minor.required(),
  discountMinor: minor,
});

export const order = Joi.object({
  orderId: identifier.required(),
  customerId: identifier.required(),
  customerName: Joi.string().required(),
  status: status.required(),
  paid: Joi.boolean().required(),
  currency: currency.required(),
  lines: Joi.array().items(line).required(),
  shippingMinor: minor.required(),
  subtotalMinor: minor.required(),
  totalMinor: minor.required(),
  version: Joi.number().integer().required(),
  placedAt: storedInstant.required(),
  approvedAt: storedInstant,
  rejectedAt: storedInstant,
  paidAt: storedInstant,
  shippedAt: storedInstant,
  deliveredAt: storedInstant,
  cancelledAt: storedInstant,
  reason: Joi.string(),
  paymentReference: Joi.string(),
  carrier: Joi.string(),
  trackingNumber: Joi.string(),
});

export const customer = Joi.object({
  customerId: identifier.required(),
  name: Joi.string().required(),
  contactName: Joi.string(),
  email: Joi.string(),
  address,
  currency: currency.required(),
  status: customerStatus.required(),
  reason: Joi.string(),
  creditLimitMinor: minor.allow(null).required(),
  reservedMinor: minor.required(),
  openOrders: minor.required(),
  version: Joi.number().integer().required(),
  registeredAt: storedInstant.required(),
});

const profile = Joi.object({
  name: Joi.string(),
  contactName: Joi.string(),
  email: Joi.string(),
  address,
  currency,
  status: customerStatus,
  creditLimitMinor: minor.allow(null),
  registeredAt: storedInstant,
});

export const customerHistory = Joi.object({
  customerId: identifier.required(),
  profile: profile.allow(null).required(),
  orders: Joi.object({ placed: minor, approved: minor, rejected: minor, paid: minor, shipped: minor, delivered: minor, cancelled: minor }).required(),
  spentMinor: minor.required(),
  paidMinor: minor.required(),
  firstOrderAt: storedInstant.allow(null).required(),
  lastOrderAt: storedInstant.allow(null).required(),
  latestOrders: Joi.array().items(Joi.object({ orderId: identifier, placedAt: storedInstant, status, paid: Joi.boolean(), totalMinor: minor })).required(),
});

const facetCounts = Joi.array().items(Joi.object({ key: Joi.string().required(), count: Joi.number().integer().required() }));

export function pageOf(item: Joi.Schema): Joi.ObjectSchema {
  return Joi.object({
    items: Joi.array().items(item).required(),
    total: Joi.number().integer().description('of all that match; up to 10,000 unless `total=exact`, absent with `total=none`'),
    totalIsAtLeast: Joi.valid(true).description('there are more than `total`: they were not counted on'),
    nextCursor: Joi.string(),
    facets: Joi.object().pattern(Joi.string(), facetCounts),
  });
}

const event = {
  version: Joi.number().integer().required(),
  position: Joi.number().integer().required(),
  type: Joi.string().required(),
  at: storedInstant.required(),
  recordedAt: storedInstant.required(),
  data: Joi.object().unknown().required(),
  metadata: Joi.object().unknown().required(),
};

export const historyPage = Joi.object({
  items: Joi.array().items(Joi.object({
    ...event,
    state: Joi.object().unknown().allow(null).required(),
    changes: Joi.array().items(Joi.object({ path: Joi.string().required(), from: Joi.any(), to: Joi.any() })).required(),
  })).required(),
  nextAfter: Joi.number().integer(),
});

export const trace = Joi.object({
  correlationId: Joi.string().required(),
  events: Joi.array().items(Joi.object({ context: Joi.string().required(), stream: Joi.string().required(), ...event, caused: Joi.array() })).required(),
  truncated: Joi.boolean().description('true when there are more events than are shown: the first of them are'),
});

export const problem = Joi.object({
  type: Joi.string().required(),
  title: Joi.string().required(),
  status: Joi.number().integer().required(),
  detail: Joi.string(),
  instance: Joi.string().required(),
  errors: Joi.array().items(Joi.object({ pointer: Joi.string().allow('').required(), message: Joi.string().required() })),
}).unknown();
