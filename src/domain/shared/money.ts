import { Rejection } from './rejection.js';

// Money is an integer count of minor units (cents, yen); the currency travels beside it.

const currencies: ReadonlySet<string> = new Set(Intl.supportedValuesOf('currency'));

/** @throws Rejection `money.unknown-currency` unless `code` is an ISO 4217 code. */
export function assertCurrency(code: string): void {
  if (!currencies.has(code)) throw new Rejection('money.unknown-currency', { currency: code });
}

/** `minor`, when it is a safe integer of minor units, not negative. @throws Rejection `money.out-of-range` */
export function amount(minor: number): number {
  if (!Number.isSafeInteger(minor) || minor < 0) throw new Rejection('money.out-of-range', { amountMinor: minor });
  return minor;
}

/** @throws Rejection `money.out-of-range` when the sum leaves the safe integers. */
export function sum(amounts: readonly number[]): number {
  return amounts.reduce((total, minor) => amount(total + amount(minor)), 0);
}
