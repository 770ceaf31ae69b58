import { expect } from 'chai';
import { understand } from '../../src/interfaces/cli/import/import-lines.js';
import { startService, type TestService } from '../support/service.js';

const zoneless = ['2026-01-01T00:00:00', '2026-01-01T00:00', '2026-01-01T00:00:00.000', '2026-01-01 00:00:00', '2026-001', '20260101', '2026-W01-1', 'yesterday'];
const zoned = ['2126-01-01T00:00:00Z', '2126-01-01T00:00:00.123456Z', '2126-01-01T00:00+02:00', '2126-01-01T00:00:00-11:30'];
const wanted = 'with Z or an offset';

describe('an instant', () => {
  let service: TestService;
  before(async () => { service = await startService(); });
  after(() => service.end());

  const faultIn = async (path: string, headers?: Record<string, string>, method = 'GET') => {
    const { status, body } = await service.ask(method, path, method === 'GET' ? undefined : {}, headers);
    return [status, body.errors?.[0]];
  };

  for (const parameter of ['placedFrom', 'placedTo']) {
    it(`in ${parameter} says where its time is, or is refused`, async () => {
      for (const text of zoneless) {
        const [status, fault] = await faultIn(`/orders?${parameter}=${encodeURIComponent(text)}`);
        expect([status, fault?.pointer], text).to.deep.equal([400, `?${parameter}`]);
        expect(fault.message, text).to.include(wanted);
      }
      for (const text of [...zoned, '2026-01-01']) expect(await faultIn(`/orders?${parameter}=${encodeURIComponent(text)}`), text).to.deep.equal([200, undefined]);
    });
  }

  it('in Command-Deadline says where its time is, or is refused', async () => {
    for (const text of [...zoneless, '2126-01-01']) {
      const [status, fault] = await faultIn('/customers/nobody/reactivate', { 'command-deadline': text }, 'POST');
      expect([status, fault?.pointer], text).to.deep.equal([400, 'Command-Deadline']);
      expect(fault.message, text).to.include(wanted);
    }
    for (const text of [...zoned, 'Tue, 01 Jan 2126 00:00:00 GMT']) expect((await faultIn('/customers/nobody/reactivate', { 'command-deadline': text }, 'POST'))[0], text).to.equal(404);
  });

  it('in a line of an import says where its time is, or is refused', () => {
    const line = (at: string) => understand(Buffer.from(JSON.stringify({ id: 'x', at, type: 'ShipOrder', orderId: 'o' })));
    for (const text of zoneless) expect(line(text), text).to.deep.include({ code: 'input.invalid', details: { errors: [{ pointer: '/at', message: `must be ISO 8601 ${wanted}, such as 2026-01-31T12:00:00Z` }] } });
    for (const text of [...zoned, '2026-01-01']) expect(line(text), text).to.include({ at: text });
  });

  it('is of a day that there is', async () => {
    for (const text of ['2026-02-30', '2026-02-29T00:00:00Z', '2026-04-31T23:59:59+02:00']) {
      const [status, fault] = await faultIn(`/orders?placedFrom=${encodeURIComponent(text)}`);
      expect([status, fault?.message], text).to.deep.equal([400, 'must be a day that there is']);
    }
    for (const text of ['2024-02-29', '2024-02-29T23:30:00-11:00', '2026-12-31T23:59:59Z']) expect(await faultIn(`/orders?placedFrom=${encodeURIComponent(text)}`), text).to.deep.equal([200, undefined]);
  });

  it('is told apart in the OpenAPI document', async () => {
    const { body } = await service.ask('GET', '/openapi.json');
    const described = (name: string) => (body.paths['/orders'].get.parameters as { name: string; description: string }[]).find((one) => one.name === name)!.description;
    expect(described('placedFrom')).to.include('offset');
    expect(described('placedTo')).to.include('offset');
  });
});
