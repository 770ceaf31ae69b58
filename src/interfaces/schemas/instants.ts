import Joi from 'joi';

// How instants are written. A time of day without `Z` or an offset would be read in the time zone of whatever machine this runs on.

const date = /^\d{4}(?:-\d\d(?:-\d\d)?)?$/;
const offset = /[T\s].*(?:Z|[+-]\d\d(?::?\d\d)?)$/i;
const wanted = 'must be ISO 8601 with Z or an offset, such as 2026-01-31T12:00:00Z';

/** An instant as events and documents have it. */
export const storedInstant = Joi.string().isoDate();

/** An instant as callers may write it, of the years 0 to 9999: in UTC, the order of two of them as text is their order in time, in every store. */
export const instant = Joi.string()
  .isoDate()
  .prefs({ convert: false, abortEarly: true })
  .messages({ 'string.isoDate': wanted })
  .custom((value: string, helpers) => {
    if (!date.test(value) && !offset.test(value)) return helpers.message({ custom: wanted });
    if (!isRealDay(value)) return helpers.message({ custom: 'must be a day that there is' });
    const year = new Date(value).getUTCFullYear();
    return year >= 0 && year <= 9999 ? value : helpers.message({ custom: 'must be a date of the years 0 to 9999 (ISO 8601)' });
  });

/** `Date` takes February 30 for March 2. */
function isRealDay(value: string): boolean {
  if (!/^\d{4}-\d\d-\d\d/.test(value)) return true;
  return new Date(`${value.slice(0, 10)}T00:00:00Z`).getUTCDate() === Number(value.slice(8, 10));
}

/** Describes the form of an instant in the public documents. */
export const instantForm = 'ISO 8601 with `Z` or an offset; a date alone is its beginning in UTC';

const httpDate = /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} \d\d:\d\d:\d\d GMT$/;

/** The moment that a header names, in ISO 8601 with a time of day, or as HTTP writes dates; `undefined` when it names none. */
export function momentOf(text: string): Date | undefined {
  const understood = httpDate.test(text) || (!date.test(text) && instant.validate(text).error === undefined);
  const moment = new Date(understood ? text : Number.NaN);
  return Number.isNaN(moment.getTime()) ? undefined : moment;
}
