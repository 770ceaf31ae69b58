import { readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { expect } from 'chai';
import { finished, serve, start, type Environment, type Running } from '../support/cli.js';
import { temporaryDirectory } from '../support/postgres.js';
import { ask } from '../support/service.js';

interface OtlpSpan { name: string; traceId: string; spanId: string; parentSpanId?: string; kind: number; attributes: { key: string; value: Record<string, unknown> }[] }
interface Export { resourceSpans: { resource: { attributes: { key: string; value: { stringValue?: string } }[] }; scopeSpans: { spans: OtlpSpan[] }[] }[] }

const fromOutside = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

describe('traces of a service', function () {
  this.timeout(60_000);
  let directory: string;
  let collector: Server;
  let exports: Export[];
  let asked: string[];
  let running: Running | undefined;
  /** Status that the collector answers with; 'never': it does not. */
  let answer: number | 'never';
  let environment: Environment;

  beforeEach(async () => {
    directory = await temporaryDirectory();
    [exports, asked, answer] = [[], [], 200];
    collector = createServer((request, response) => {
      asked.push(`${request.method} ${request.url}`);
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        if (answer === 'never') return;
        if (answer === 200) exports.push(JSON.parse(Buffer.concat(chunks).toString()) as Export);
        response.writeHead(answer, { 'content-type': 'application/json' }).end('{}');
      });
    });
    await new Promise<void>((resolve) => { collector.listen(0, '127.0.0.1', resolve); });
    const endpoint = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`;
    environment = { DATA_DIR: directory, PROFILE: 'memory', LOG_LEVEL: 'warn', OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_BSP_SCHEDULE_DELAY: '50' };
  });
  afterEach(async () => {
    await running?.stop();
    running = undefined;
    collector.closeAllConnections();
    await new Promise((resolve) => collector.close(resolve));
    await rm(directory, { recursive: true, force: true });
  });

  const spans = () => exports.flatMap(({ resourceSpans }) => resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans)));
  const until = async (condition: () => boolean) => {
    for (let tries = 0; tries < 400 && !condition(); tries++) await new Promise((resolve) => setTimeout(resolve, 25));
    expect(condition()).to.equal(true);
  };
  const register = (url: string) => ask(url, 'POST', '/customers', { name: 'Ada', currency: 'EUR' }, { traceparent: fromOutside });

  it('arrive at the collector, each below what led to it', async () => {
    running = await serve(environment);
    expect((await register(running.url)).status).to.equal(201);
    await until(() => spans().some(({ name }) => name === 'apply customers'));
    const [http, append, apply] = ['POST /customers', 'append', 'apply customers'].map((name) => spans().find((span) => span.name === name)!);
    expect(http).to.include({ traceId: '0af7651916cd43dd8448eb211c80319c', parentSpanId: 'b7ad6b7169203331', kind: 2 });
    expect(append).to.include({ traceId: http!.traceId, parentSpanId: http!.spanId, kind: 1 });
    expect(apply).to.include({ traceId: http!.traceId, parentSpanId: append!.spanId, kind: 5 });
    expect(http!.attributes).to.deep.include({ key: 'http.response.status_code', value: { intValue: 201 } });
    expect(asked.every((line) => line === 'POST /v1/traces'), asked.join()).to.equal(true);
    const { attributes } = exports[0]!.resourceSpans[0]!.resource;
    expect(attributes.find(({ key }) => key === 'service.name')?.value.stringValue).to.equal('orderfold');
  });

  it('carry the name that the service was given', async () => {
    running = await serve({ ...environment, OTEL_SERVICE_NAME: 'shop' });
    await register(running.url);
    await until(() => exports.length > 0);
    expect(exports[0]!.resourceSpans[0]!.resource.attributes.filter(({ key }) => key === 'service.name')).to.deep.equal([{ key: 'service.name', value: { stringValue: 'shop' } }]);
  });

  it('are sent before the service ends, however seldom they are sent otherwise', async () => {
    running = await serve({ ...environment, OTEL_BSP_SCHEDULE_DELAY: '60000' });
    await register(running.url);
    expect(exports).to.deep.equal([]);
    expect(await running.stop()).to.equal(0);
    expect(spans().map(({ name }) => name)).to.include.members(['POST /customers', 'append']);
  });

  it('disturb nobody when the collector refuses them, and that is said once', async () => {
    answer = 400;
    const child = start(['serve', '--port', '0'], environment);
    const end = finished(child);
    const url = await new Promise<string>((resolve) => {
      let out = '';
      child.stdout!.on('data', (chunk: Buffer) => {
        const [found] = /http:\/\/127\.0\.0\.1:\d+/.exec(out += chunk.toString()) ?? [];
        if (found !== undefined) resolve(found);
      });
    });
    for (let request = 1; request <= 3; request++) {
      const before = asked.length;
      expect((await register(url)).status).to.equal(201);
      await until(() => asked.length > before);
    }
    child.kill('SIGTERM');
    const { code, err } = await end;
    expect(code).to.equal(0);
    expect(err.match(/traces do not reach their collector/g), err).to.have.length(1);
    expect(err).not.to.include('"level":50');
  });

  it('do not hold up the end of a service whose collector hangs', async () => {
    answer = 'never';
    running = await serve({ ...environment, LOG_LEVEL: 'fatal' });
    await register(running.url);
    await until(() => asked.length > 0);
    const began = performance.now();
    expect(await running.stop()).to.equal(0);
    expect(performance.now() - began).to.be.lessThan(8_000);
  });

  it('are the only reason to load the SDK', async () => {
    const probe = join(directory, 'probe.cjs');
    const loaded = join(directory, 'loaded.json');
    await writeFile(probe, `process.on('exit', () => require('node:fs').writeFileSync(${JSON.stringify(loaded)}, JSON.stringify(Object.keys(require('node:module')._cache))));`);
    const packagesOf = async (settings: Environment) => {
      const service = await serve({ ...settings, NODE_OPTIONS: `--require ${probe}` });
      await register(service.url);
      expect(await service.stop()).to.equal(0);
      const files = JSON.parse(await readFile(loaded, 'utf8')) as string[];
      return new Set(files.flatMap((file) => /node_modules\/(@opentelemetry\/[a-z-]+)/.exec(file)?.[1] ?? []));
    };
    const sdk = ['@opentelemetry/sdk-trace-node', '@opentelemetry/exporter-trace-otlp-http', '@opentelemetry/resources'];
    expect([...await packagesOf(environment)]).to.include.members(sdk);
    const { OTEL_EXPORTER_OTLP_ENDPOINT: _endpoint, ...without } = environment;
    // prom-client brings the interface, which does nothing by itself.
    expect([...await packagesOf(without)].filter((name) => name !== '@opentelemetry/api')).to.deep.equal([]);
  });
});
