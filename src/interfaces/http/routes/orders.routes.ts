import Joi from 'joi';
import { orders as aggregate, type OrderCommandRequest, type OrderCommands } from '../../../application/orders/order-commands.js';
import type { OrderFilter, OrderQueries } from '../../../application/orders/order-queries.js';
import type { Clock } from '../../../application/ports/clock.js';
import type { CommandInbox } from '../../../application/ports/command-queue.js';
import type { Ids } from '../../../application/ports/ids.js';
import { identifier } from '../../schemas/command-schemas.js';
import { answerCommand, commandRoute } from './answer-command.js';
import type { Cursors } from '../request/cursor.js';
import { callerOf, documentReply, historyReply, listOptions, queryAnswer } from '../request/call.js';
import { atVersion, eventPage, orderFacets, orderList, type PageQuery } from '../contract/query-schemas.js';
import { pageReply } from './replies.js';
import { seenBy } from '../request/request-headers.js';
import type { Call, Route } from './route.js';
import { historyPage, order, pageOf } from '../contract/schemas.js';

interface Dependencies {
  commands: OrderCommands;
  queries: OrderQueries;
  queue: CommandInbox;
  cursors: Cursors;
  clock: Clock;
  ids: Ids;
}

type Action = 'pay' | 'ship' | 'deliver' | 'cancel';
type ActionCommand = 'PayOrder' | 'ShipOrder' | 'DeliverOrder' | 'CancelOrder';

interface OrderListQuery extends OrderFilter, PageQuery {
  facets?: (keyof typeof orderFacets)[];
}

export function orderRoutes({ commands, queries, queue, cursors, clock, ids }: Dependencies): Route[] {
  const doing = { commands, queue, clock, ids };
  const params = Joi.object({ orderId: identifier.required() });

  const onOrder = (action: Action, type: ActionCommand, summary: string): Route => commandRoute({
    method: 'post',
    path: `/orders/:orderId/${action}`,
    scopes: ['commands:orders'],
    type,
    status: 200,
    summary,
    params,
    handle(call) {
      const { orderId = '' } = call.params;
      const command = { ...call.body, type, orderId } as OrderCommandRequest;
      return answerCommand(call, { aggregate, id: orderId, command, status: 200 }, doing);
    },
  });

  return [
    commandRoute({
      method: 'post',
      path: '/orders',
      scopes: ['commands:orders'],
      type: 'PlaceOrder',
      status: 201,
      summary: 'Place an order',
      headers: ['Idempotency-Key', 'If-Match', 'Consistency-Token', 'Prefer', 'Command-Deadline'],
      handle(call) {
        const { orderId = ids.next() } = call.body as { orderId?: string };
        const command = { ...call.body, type: 'PlaceOrder', orderId } as OrderCommandRequest;
        return answerCommand(call, { aggregate, id: orderId, command, status: 201, seen: seenBy(call.headers) }, doing);
      },
    }),
    onOrder('pay', 'PayOrder', 'Note the payment of an approved order'),
    onOrder('ship', 'ShipOrder', 'Ship an approved order'),
    onOrder('deliver', 'DeliverOrder', 'Deliver a shipped order'),
    onOrder('cancel', 'CancelOrder', 'Cancel an order that is not shipped'),
    {
      method: 'get',
      path: '/orders',
      scopes: ['queries:orders'],
      name: 'ListOrders',
      summary: 'List and search orders',
      query: orderList,
      headers: ['Consistency-Token', 'Prefer'],
      answer: queryAnswer('A page of orders', pageOf(order)),
      async handle(call: Call) {
        const { sort: _sort, limit: _limit, cursor: _cursor, total: _total, facets, ...filter } = call.query as OrderListQuery;
        const counted = facets && Object.fromEntries(facets.map((name) => [name, orderFacets[name]]));
        const { options, query } = listOptions(call, cursors, counted && Object.values(counted));
        const page = await queries.list(filter, options, callerOf(call), seenBy(call.headers));
        return pageReply(page, { cursors, query, clock, ...(counted && { facets: counted }) });
      },
    },
    {
      method: 'get',
      path: '/orders/:orderId',
      scopes: ['queries:orders'],
      name: 'GetOrder',
      summary: 'One order, as it is or as it was at a version',
      params,
      query: atVersion,
      headers: ['Consistency-Token', 'Prefer'],
      answer: queryAnswer('The order', order),
      handle: (call) => documentReply(call, call.params.orderId ?? '', queries, clock),
    },
    {
      method: 'get',
      path: '/orders/:orderId/events',
      scopes: ['queries:orders', 'history'],
      name: 'GetOrderEvents',
      summary: 'What happened to an order, with the state after each event',
      params,
      query: eventPage,
      answer: queryAnswer('A page of events', historyPage),
      handle: (call) => historyReply(call, call.params.orderId ?? '', queries),
    },
  ];
}
