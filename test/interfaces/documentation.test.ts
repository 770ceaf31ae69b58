import { execFile } from 'node:child_process';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { packageRoot } from '../../src/infrastructure/package-root.js';
import { temporaryDirectory } from '../support/postgres.js';
import { startService, type TestService } from '../support/service.js';

describe('the documentation', function () {
  this.timeout(60_000);
  let service: TestService;
  before(async () => { service = await startService(); });
  after(() => service.end());

  it('is an OpenAPI document without a fault', async () => {
    const { body } = await service.ask('GET', '/openapi.json');
    expect(Object.keys(body.paths)).to.include.members(['/orders', '/orders/{orderId}/ship', '/customers/{customerId}/credit-limit']);
    const directory = await temporaryDirectory();
    try {
      const file = join(directory, 'openapi.json');
      await writeFile(file, JSON.stringify(body));
      const { stdout } = await promisify(execFile)(process.execPath, [join(packageRoot, 'node_modules/@redocly/cli/bin/cli.js'), 'lint', '--extends=recommended', '--format=json', file],
        { cwd: directory, env: { ...process.env, REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true' } }).catch((error: unknown) => error as { stdout: string });
      const { problems } = JSON.parse(stdout.slice(stdout.indexOf('{'))) as { problems: { ruleId: string; message: string; location: { pointer?: string }[] }[] };
      expect(problems.map(({ ruleId, message, location }) => `${ruleId} ${location[0]?.pointer ?? ''}: ${message}`)).to.deep.equal([]);
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  it('describes what the service takes', async () => {
    const { body } = await service.ask('GET', '/openapi.json');
    const place = body.paths['/orders'].post;
    expect(place.requestBody.content['application/json'].schema.required).to.have.members(['customerId', 'currency', 'lines']);
    expect(place.requestBody.content['application/json'].schema.additionalProperties).to.equal(false);
    expect(body.paths['/orders'].get.parameters.map(({ name }: { name: string }) => name)).to.include.members(['period', 'cursor', 'facets', 'Consistency-Token']);
  });

  it('is a page that needs nothing from elsewhere', async () => {
    const page = await service.ask('GET', '/docs/');
    expect(page.status).to.equal(200);
    expect(page.headers.get('content-security-policy')).to.include("default-src 'self'");
    const sources = [...page.text.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, source]) => source!);
    expect(sources.length).to.be.greaterThan(2);
    for (const source of sources) {
      expect(source).to.match(/^\.\//);
      expect((await service.ask('GET', `/docs/${source.slice(2)}`)).status, source).to.equal(200);
    }
  });
});
