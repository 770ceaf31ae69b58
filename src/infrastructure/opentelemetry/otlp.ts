import { randomUUID } from 'node:crypto';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { defaultResource, detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, NodeTracerProvider, type SpanExporter } from '@opentelemetry/sdk-trace-node';
import type { Logger } from '../../application/ports/logger.js';
import type { Tracer } from '../../application/ports/tracer.js';
import { version } from '../process/package-root.js';
import { OpenTelemetryTracer } from './opentelemetry-tracer.js';

export interface TelemetryConfig {
  /** URL of a collector that takes OTLP over HTTP; `/v1/traces` is added. */
  endpoint: string;
  serviceName: string;
}

export interface Telemetry {
  tracer: Tracer;
  /** Sends the spans that are left, within a time limit. Never rejects. */
  close(): Promise<void>;
}

// When the collector hangs, the end of the process waits no longer than this.
const exportTimeoutMs = 5_000;
const flushTimeoutMs = 3_000;

/** Sends traces to a collector in batches, as OTLP over HTTP. Those that it does not take in time are dropped: the service does not wait for it. */
export function openOtlp({ endpoint, serviceName }: TelemetryConfig, logger: Logger): Telemetry {
  const exporter = new OTLPTraceExporter({ url: `${endpoint.replace(/\/+$/, '')}/v1/traces`, timeoutMillis: exportTimeoutMs });
  const own = resourceFromAttributes({ 'service.name': serviceName, 'service.version': version, 'service.instance.id': randomUUID() });
  const provider = new NodeTracerProvider({
    // Attributes in OTEL_RESOURCE_ATTRIBUTES win.
    resource: defaultResource().merge(own).merge(detectResources({ detectors: [envDetector] })),
    spanProcessors: [new BatchSpanProcessor(reporting(exporter, endpoint, logger), { maxQueueSize: 8_192 })],
  });
  return {
    tracer: new OpenTelemetryTracer(provider.getTracer('orderfold', version)),
    async close() {
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<void>((resolve) => { timer = setTimeout(resolve, flushTimeoutMs); });
      // A failed export has been logged by then.
      await Promise.race([provider.shutdown().catch(() => undefined), late]);
      clearTimeout(timer);
    },
  };
}

/** Logs once that spans do not arrive, and once that they do again. */
function reporting(exporter: SpanExporter, endpoint: string, logger: Logger): SpanExporter {
  let failing = false;
  return {
    export(spans, done) {
      exporter.export(spans, (result) => {
        if (result.error !== undefined && !failing) {
          logger.warn({ endpoint, error: result.error.message }, 'traces do not reach their collector: they are dropped until they do');
        }
        if (result.error === undefined && failing) logger.info({ endpoint }, 'traces reach their collector again');
        failing = result.error !== undefined;
        done(result);
      });
    },
    forceFlush: () => exporter.forceFlush?.() ?? Promise.resolve(),
    shutdown: () => exporter.shutdown(),
  };
}
