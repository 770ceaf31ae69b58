import Joi from 'joi';
import { customers as aggregate, type CustomerCommands } from '../../../application/customers/customer-commands.js';
import type { CustomerFilter, CustomerQueries } from '../../../application/customers/customer-queries.js';
import type { Clock } from '../../../application/ports/clock.js';
import type { CommandInbox } from '../../../application/ports/command-queue.js';
import type { Ids } from '../../../application/ports/ids.js';
import type { CustomerCommand } from '../../../domain/customers/customer.js';
import { identifier } from '../../schemas/command-schemas.js';
import { answerCommand, commandRoute } from './answer-command.js';
import { callerOf, documentReply, historyReply, listOptions, queryAnswer } from '../request/call.js';
import type { Cursors } from '../request/cursor.js';
import { atVersion, customerList, eventPage, type PageQuery } from '../contract/query-schemas.js';
import { freshness, pageReply } from './replies.js';
import { seenBy } from '../request/request-headers.js';
import type { Route } from './route.js';
import { customer, customerHistory, historyPage, pageOf } from '../contract/schemas.js';

interface Dependencies {
  commands: CustomerCommands;
  queries: CustomerQueries;
  queue: CommandInbox;
  cursors: Cursors;
  clock: Clock;
  ids: Ids;
}

type Change = Exclude<CustomerCommand['type'], 'RegisterCustomer' | 'ReserveCredit' | 'ReleaseCredit'>;

export function customerRoutes({ commands, queries, queue, cursors, clock, ids }: Dependencies): Route[] {
  const doing = { commands, queue, clock, ids };
  const params = Joi.object({ customerId: identifier.required() });

  const change = (method: 'post' | 'put' | 'patch', path: string, type: Change, summary: string): Route => commandRoute({
    method,
    path: `/customers/:customerId${path}`,
    scopes: ['commands:customers'],
    type,
    status: 200,
    summary,
    params,
    handle(call) {
      const { customerId = '' } = call.params;
      const command = { ...call.body, type, customerId } as CustomerCommand;
      return answerCommand(call, { aggregate, id: customerId, command, status: 200 }, doing);
    },
  });

  return [
    commandRoute({
      method: 'post',
      path: '/customers',
      scopes: ['commands:customers'],
      type: 'RegisterCustomer',
      status: 201,
      summary: 'Register a customer',
      handle(call) {
        const { customerId = ids.next() } = call.body as { customerId?: string };
        const command = { ...call.body, type: 'RegisterCustomer', customerId } as CustomerCommand;
        return answerCommand(call, { aggregate, id: customerId, command, status: 201 }, doing);
      },
    }),
    change('patch', '', 'ChangeCustomerDetails', 'Change a customer\'s details: an absent field stays, null removes it'),
    change('put', '/credit-limit', 'SetCreditLimit', 'Set or lift a customer\'s credit limit'),
    change('post', '/suspend', 'SuspendCustomer', 'Suspend a customer'),
    change('post', '/reactivate', 'ReactivateCustomer', 'Reactivate a suspended customer'),
    change('post', '/close', 'CloseCustomer', 'Close a customer without open orders, for good'),
    {
      method: 'get',
      path: '/customers',
      scopes: ['queries:customers'],
      name: 'ListCustomers',
      summary: 'List and search customers',
      query: customerList,
      headers: ['Consistency-Token', 'Prefer'],
      answer: queryAnswer('A page of customers', pageOf(customer)),
      async handle(call) {
        const { sort: _sort, limit: _limit, cursor: _cursor, total: _total, ...filter } = call.query as CustomerFilter & PageQuery;
        const { options, query } = listOptions(call, cursors);
        return pageReply(await queries.list(filter, options, callerOf(call), seenBy(call.headers)), { cursors, query, clock });
      },
    },
    {
      method: 'get',
      path: '/customers/:customerId',
      scopes: ['queries:customers'],
      name: 'GetCustomer',
      summary: 'One customer, as it is or as it was at a version',
      params,
      query: atVersion,
      headers: ['Consistency-Token', 'Prefer'],
      answer: queryAnswer('The customer', customer),
      handle: (call) => documentReply(call, call.params.customerId ?? '', queries, clock),
    },
    {
      method: 'get',
      path: '/customers/:customerId/history',
      scopes: ['queries:customers', 'queries:orders'],
      name: 'GetCustomerHistory',
      summary: 'A customer with everything they did',
      params,
      headers: ['Consistency-Token', 'Prefer'],
      answer: queryAnswer('Profile, counts, money and latest orders', customerHistory),
      async handle(call) {
        const { value, progress } = await queries.withOrders(call.params.customerId ?? '', callerOf(call), seenBy(call.headers));
        return { status: 200, headers: freshness(progress, clock), body: value };
      },
    },
    {
      method: 'get',
      path: '/customers/:customerId/events',
      scopes: ['queries:customers', 'history'],
      name: 'GetCustomerEvents',
      summary: 'What happened to a customer, with the state after each event',
      params,
      query: eventPage,
      answer: queryAnswer('A page of events', historyPage),
      handle: (call) => historyReply(call, call.params.customerId ?? '', queries),
    },
  ];
}
