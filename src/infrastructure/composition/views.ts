import type { View, ViewStore, ViewStores } from '../../application/ports/view-store.js';
import {
  views, type CustomerDocument, type CustomerHistory, type OrderCustomer, type OrderDocument, type ViewName,
} from '../../application/views/index.js';
import type { Config } from '../process/config.js';

/** The stores of the views, open. */
export interface OpenViews {
  orders: ViewStore<OrderDocument>;
  customers: ViewStore<CustomerDocument>;
  customerHistory: ViewStore<CustomerHistory>;
  orderCustomers: ViewStore<OrderCustomer>;
}

/** Those of the contexts that this process serves. */
export async function openViews(stores: ViewStores, { contexts }: Config): Promise<Partial<OpenViews>> {
  const served = (Object.entries(views) as [ViewName, View<object>][]).filter(([, { servedBy }]) => contexts.includes(servedBy));
  return Object.fromEntries(await Promise.all(served.map(async ([name, view]) => [name, await stores.open(view)]))) as Partial<OpenViews>;
}

/** A view that this process serves, with its store. */
export interface ServedView {
  view: View<object>;
  store: ViewStore<object>;
}

export function servedViews(open: Partial<OpenViews>): ServedView[] {
  return (Object.entries(views) as [ViewName, View<object>][]).flatMap(([name, view]) => {
    const store = open[name] as ViewStore<object> | undefined;
    return store === undefined ? [] : [{ view, store }];
  });
}
