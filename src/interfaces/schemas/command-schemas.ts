import Joi from 'joi';
import type { OrderCommandRequest } from '../../application/orders/order-commands.js';
import type { CustomerCommand } from '../../domain/customers/customer.js';

// What a caller may write, for HTTP and for import alike. The domain decides what is allowed; this file only says what is understood.

/** Commands that callers may give; the others are the policies'. */
export const customerCommandTypes = [
  'RegisterCustomer',
  'ChangeCustomerDetails',
  'SetCreditLimit',
  'SuspendCustomer',
  'ReactivateCustomer',
  'CloseCustomer',
] as const;
export const orderCommandTypes = ['PlaceOrder', 'PayOrder', 'ShipOrder', 'DeliverOrder', 'CancelOrder'] as const;
export type CommandType = (typeof customerCommandTypes)[number] | (typeof orderCommandTypes)[number];

export const text = (max: number) => Joi.string().min(1).max(max).pattern(/\S/, 'not only spaces');
export const minor = () => Joi.number().integer().min(0).max(Number.MAX_SAFE_INTEGER);

export const identifier = Joi.string().max(64).pattern(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, 'letters, digits, ".", "_" and "-", beginning with a letter or digit')
  .description('1 to 64 letters, digits, `.`, `_` or `-`, beginning with a letter or digit');
export const currency = Joi.string().pattern(/^[A-Z]{3}$/, 'an ISO 4217 code').description('ISO 4217 code');

export const name = text(200);
export const contactName = text(200);
export const email = Joi.string().max(254).email({ tlds: false });
export const address = Joi.object({ street: text(200), city: text(100), region: text(100), postalCode: text(20), country: text(100) }).min(1);
export const creditLimitMinor = minor().allow(null).description('minor units; null: no limit');
export const reason = text(500);

export const line = Joi.object({
  sku: text(64).required(),
  name: text(200).required(),
  quantity: Joi.number().integer().min(1).max(1_000_000).required(),
  unitPriceMinor: minor().required(),
  discountMinor: minor().description('off the whole line, in minor units'),
});

/** Over HTTP, the path of these commands names their customer or order. */
type IdInPath<T extends CommandType> = T extends 'RegisterCustomer' | 'PlaceOrder' ? never : 'customerId' | 'orderId';
type FieldOf<T extends CommandType> = Exclude<keyof Extract<CustomerCommand | OrderCommandRequest, { type: T }>, 'type' | IdInPath<T>>;

/** A schema for each field of each command: one that is forgotten, or that the command does not have, does not compile. */
export const commandFields: { readonly [T in CommandType]: Readonly<Record<FieldOf<T>, Joi.Schema>> } = {
  RegisterCustomer: {
    customerId: identifier,
    name: name.required(),
    contactName,
    email,
    address,
    currency: currency.required(),
    creditLimitMinor: creditLimitMinor.default(null),
  },
  ChangeCustomerDetails: { name, contactName: contactName.allow(null), email: email.allow(null), address: address.allow(null) },
  SetCreditLimit: { creditLimitMinor: creditLimitMinor.required() },
  SuspendCustomer: { reason: reason.required() },
  ReactivateCustomer: {},
  CloseCustomer: { reason: reason.required() },
  PlaceOrder: {
    orderId: identifier,
    customerId: identifier.required(),
    currency: currency.required(),
    lines: Joi.array().items(line).max(500).required(),
    shippingMinor: minor().default(0),
  },
  PayOrder: { paymentReference: text(200).required() },
  ShipOrder: { carrier: text(100), trackingNumber: text(100) },
  DeliverOrder: {},
  CancelOrder: { reason: reason.required() },
};

export interface InputError {
  /** JSON pointer into the body, or the name of a parameter or header. */
  pointer: string;
  message: string;
}

const options: Joi.ValidationOptions = { abortEarly: false, convert: false, errors: { label: false } };

/** The value with its defaults, or what is wrong with it. `pointer` writes a path as a pointer. */
export function validate<T>(schema: Joi.Schema, input: unknown, { convert = false, pointer = jsonPointer } = {}): { value: T } | { errors: InputError[] } {
  const result: Joi.ValidationResult<T> = (schema as Joi.ObjectSchema<T>).validate(input, { ...options, convert });
  if (result.error === undefined) return { value: result.value };
  return { errors: result.error.details.slice(0, 20).map(({ path, message }) => ({ pointer: pointer(path), message })) };
}

export function jsonPointer(path: readonly (string | number)[]): string {
  return path.map((part) => `/${String(part).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}
