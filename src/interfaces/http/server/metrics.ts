import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { RelayState } from '../../../application/log/relay.js';
import type { ViewState } from '../../../infrastructure/composition/health.js';

interface Numbers {
  views: readonly (ViewState & { lagMs: number | undefined })[];
  relays: readonly (RelayState & { lagMs: number })[];
  waitingOrders: number | undefined;
  /** By context. */
  queuedCommands: ReadonlyMap<string, number>;
}

export interface Metrics {
  contentType: string;
  /** One answered request, by the template of its path. */
  answered(method: string, path: string, status: number, seconds: number): void;
  /** One command: `done`, `accepted`, `replayed`, `failed`, or the code it was refused with. */
  command(type: string, outcome: string): void;
  render(now: Numbers): Promise<string>;
}

export function createMetrics(): Metrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  const requests = new Histogram({
    name: 'http_request_duration_seconds',
    help: 'Time from the request to its answer.',
    labelNames: ['method', 'path', 'status'],
    registers,
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
  });
  const commands = new Counter({
    name: 'orderfold_commands_total',
    help: 'Commands by type and what became of them.',
    labelNames: ['type', 'outcome'],
    registers,
  });
  const positions = new Gauge({
    name: 'orderfold_view_position',
    help: 'Position that a view has applied, per source.',
    labelNames: ['view', 'source'],
    registers,
  });
  const lag = new Gauge({
    name: 'orderfold_view_lag_seconds',
    help: 'Age of the oldest event that has reached a view and is not applied; with Kafka, orderfold_relay_lag_seconds comes before it.',
    labelNames: ['view'],
    registers,
  });
  const published = new Gauge({
    name: 'orderfold_relay_position',
    help: 'Position of the last event that is published, per partition of a context.',
    labelNames: ['source'],
    registers,
  });
  const relayLag = new Gauge({
    name: 'orderfold_relay_lag_seconds',
    help: 'Age of the oldest event that is not published.',
    labelNames: ['context'],
    registers,
  });
  const queued = new Gauge({
    name: 'orderfold_commands_queued',
    help: 'Commands that were accepted for later and are not finished.',
    labelNames: ['context'],
    registers,
  });
  const waiting = new Gauge({
    name: 'orderfold_orders_waiting_for_credit',
    help: 'Orders that have waited for their credit decision longer than SAGA_TIMEOUT_SECONDS.',
    registers,
  });
  return {
    contentType: registry.contentType,
    answered: (method, path, status, seconds) => { requests.observe({ method, path, status }, seconds); },
    command: (type, outcome) => { commands.inc({ type, outcome }); },
    render({ views, relays, waitingOrders, queuedCommands }) {
      // What is not known now is left out: an earlier number would look like a current one.
      for (const gauge of [positions, lag, published, relayLag, queued]) gauge.reset();
      for (const [context, depth] of queuedCommands) queued.set({ context }, depth);
      for (const { context, published: positionsOf, lagMs } of relays) {
        for (const [source, position] of Object.entries(positionsOf)) published.set({ source }, position ?? 0);
        relayLag.set({ context }, lagMs / 1_000);
      }
      for (const { name, progress, lagMs } of views) {
        for (const [source, position] of Object.entries(progress?.applied ?? {})) positions.set({ view: name, source }, position ?? 0);
        if (lagMs !== undefined) lag.set({ view: name }, lagMs / 1_000);
      }
      if (waitingOrders === undefined) waiting.remove();
      else waiting.set(waitingOrders);
      return registry.metrics();
    },
  };
}
