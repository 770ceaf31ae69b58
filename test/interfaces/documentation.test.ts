import { expect } from 'chai';
import { faultsOf } from '../support/redocly.js';
import { startService, type TestService } from '../support/service.js';

describe('the documentation', function () {
  this.timeout(60_000);
  let service: TestService;
  before(async () => { service = await startService(); });
  after(() => service.end());

  it('is an OpenAPI document without a fault', async () => {
    const { body } = await service.ask('GET', '/openapi.json');
    expect(Object.keys(body.paths)).to.include.members(['/orders', '/orders/{orderId}/ship', '/customers/{customerId}/credit-limit']);
    expect(await faultsOf(body)).to.deep.equal([]);
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
