import Joi from 'joi';
import { periods } from '../../../application/queries/period.js';
import { currency, identifier } from '../../schemas/command-schemas.js';
import { instant as anyInstant, instantForm } from '../../schemas/instants.js';

// Parameters of a URL are text: they are converted, strictly.

/** `a,b` as ['a', 'b']. */
const list = (item: Joi.Schema) => Joi.custom((value: unknown, helpers) => {
  const parts = String(value).split(',');
  for (const part of parts) {
    const { error } = item.validate(part);
    if (error !== undefined) return helpers.message({ custom: error.message.replace('"value" ', '') });
  }
  return parts;
}).description('several are joined by commas');

const instant = anyInstant.custom((value: string) => new Date(value).toISOString());
const minor = Joi.number().integer().min(0).max(Number.MAX_SAFE_INTEGER);

/** What every list is asked with, beside its filter. */
export interface PageQuery {
  sort: string;
  limit: number;
  cursor?: string;
  total?: 'exact' | 'none';
}

const page = {
  limit: Joi.number().integer().min(1).max(200).default(20),
  cursor: Joi.string().max(500).description('`nextCursor` of the page before'),
  total: Joi.string().valid('exact', 'none')
    .description('`exact` counts all that match, which takes the longer the more they are; `none` counts nothing; without it they are counted up to 10,000'),
};

/** The field that is counted, by the public name of the facet. */
export const orderFacets = { status: 'status', currency: 'currency', customerId: 'customerId', month: 'placedAt' } as const;

export const orderList = Joi.object({
  customerId: list(identifier),
  status: list(Joi.string().valid('placed', 'approved', 'rejected', 'shipped', 'delivered', 'cancelled')),
  paid: Joi.boolean(),
  currency: list(currency),
  placedFrom: instant.description(`inclusive, ${instantForm}`),
  placedTo: instant.description(`exclusive, ${instantForm}`),
  period: Joi.string().valid(...periods).description('calendar months and days in UTC, as seen from now'),
  minTotalMinor: minor,
  maxTotalMinor: minor,
  sku: list(Joi.string().max(64)),
  q: Joi.string().min(1).max(200).description('words that must all occur in the id, customer, sku or product name; the last one as a prefix'),
  sort: Joi.string().valid('placedAt', '-placedAt', 'totalMinor', '-totalMinor').default('-placedAt'),
  facets: list(Joi.string().valid(...Object.keys(orderFacets)))
    .description(`what to count, of ${Object.keys(orderFacets).join(', ')}; several are joined by commas`),
  ...page,
}).oxor('period', 'placedFrom').oxor('period', 'placedTo');

export const customerList = Joi.object({
  status: list(Joi.string().valid('active', 'suspended', 'closed')),
  country: list(Joi.string().max(100)),
  q: Joi.string().min(1).max(200).description('words that must all occur in the id, name, contact, e-mail or address; the last one as a prefix'),
  sort: Joi.string().valid('name', '-name', 'registeredAt', '-registeredAt').default('name'),
  ...page,
});

export const atVersion = Joi.object({
  version: Joi.number().integer().min(1).max(2_147_483_647).description('the state after this version, from the log; needs the scope `history` as well'),
});

export const eventPage = Joi.object({
  after: Joi.number().integer().min(0).max(2_147_483_647).default(0).description('events with a greater version'),
  limit: Joi.number().integer().min(1).max(200).default(50),
});

export function sortOf(text: string): { field: string; descending: boolean } {
  return text.startsWith('-') ? { field: text.slice(1), descending: true } : { field: text, descending: false };
}
