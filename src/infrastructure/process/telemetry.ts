import type { Logger } from '../../application/ports/logger.js';
import { untraced } from '../../application/ports/tracer.js';
import type { Telemetry, TelemetryConfig } from '../opentelemetry/otlp.js';

/** The SDK of OpenTelemetry is loaded only where there is a collector to send to. */
export async function startTelemetry(config: TelemetryConfig | undefined, logger: Logger): Promise<Telemetry> {
  if (config === undefined) return { tracer: untraced, close: () => Promise.resolve() };
  const { openOtlp } = await import('../opentelemetry/otlp.js');
  return openOtlp(config, logger);
}
