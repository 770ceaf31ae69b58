/** Whose things a request may see; without `onlyCustomer`, everybody's. */
export interface Caller {
  onlyCustomer?: string;
}

export function mayBeSeenBy({ onlyCustomer }: Caller, thing: { customerId: string }): boolean {
  return onlyCustomer === undefined || thing.customerId === onlyCustomer;
}
