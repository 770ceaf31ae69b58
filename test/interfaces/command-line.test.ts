import { resolve } from 'node:path';
import { expect } from 'chai';
import { settings } from '../../src/infrastructure/process/config.js';
import { settingsInForce } from '../../src/interfaces/cli/terminal/settings-in-force.js';
import { table } from '../../src/interfaces/cli/terminal/table.js';

describe('the settings in force', () => {
  it('are what is used where nothing was set', () => {
    const shown = settingsInForce({});
    expect(Object.keys(shown)).to.deep.equal(Object.keys(settings));
    expect(shown).to.include({
      PROFILE: 'embedded', FEED: 'log', VIEWS: 'postgres', COMMAND_QUEUE: 'postgres', ROLES: 'api,relay,projector,policies,worker', CONTEXTS: 'customers,orders', HOST: '127.0.0.1', PORT: '3000', AUTH: 'off',
      DATA_DIR: resolve('.data'), DATABASE_URL: '(our own PostgreSQL)', KAFKA_PARTITIONS: '12', CURSOR_SECRET: '(made by itself)', JWT_JWKS: '(none)',
    });
    expect(Object.values(shown).join()).to.not.include('default');
  });

  it('are what others lead to', () => {
    expect(settingsInForce({ PROFILE: 'memory', AUTH: '', PORT: '80', CONTEXTS: '' })).to.include({ FEED: 'log', VIEWS: 'memory', COMMAND_QUEUE: 'memory', AUTH: 'off', PORT: '80', DATABASE_URL: '(none)' });
    expect(settingsInForce({ HOST: '::1', AUTH: 'jwt', JWT_JWKS: 'k', JWT_ISSUER: 'i', JWT_AUDIENCE: 'a', DATABASE_URL: 'postgres://db/x', ROLES: 'worker,api' })).to.include({ AUTH: 'jwt', DATABASE_URL: 'postgres://db/x', ROLES: 'api,worker' });
  });

  it('are shown as far as they are known where the configuration is wrong', () => {
    expect(settingsInForce({ PORT: 'x', HOST: '0.0.0.0' })).to.include({ PORT: 'x', HOST: '0.0.0.0', PROFILE: 'embedded', KAFKA_PARTITIONS: '12' });
  });

  it('show no secret', () => {
    const secret = 'p@ss/w0rd:x';
    const shown = settingsInForce({
      CURSOR_SECRET: secret.repeat(4), ELASTICSEARCH_PASSWORD: secret, DATABASE_URL: `postgres://me:${secret}@db.example/x`, ORDERS_DATABASE_URL: `postgres://db.example/x?user=me&password=${secret}&sslmode=require`, ELASTICSEARCH_URL: `https://e:${secret}@es.example`,
    });
    expect(JSON.stringify(shown)).to.not.include(secret).and.not.include('w0rd');
    expect(shown.DATABASE_URL).to.equal('postgres://me:********@db.example/x');
    expect(shown.ORDERS_DATABASE_URL).to.equal('postgres://db.example/x?user=me&password=********&sslmode=require');
  });
});

describe('a table', () => {
  it('has plain columns, as wide as what is in them', () => {
    const rows = [{ name: 'orders', documents: 12_345, behindSince: null, why: '' }, { name: 'customer-history', documents: 7, behindSince: '2026-01-01', why: 'x' }];
    expect(table(rows).split('\n')).to.deep.equal([
      'name              documents  behindSince  why',
      'orders                12345',
      'customer-history          7  2026-01-01   x',
    ]);
  });
  it('without rows is empty', () => { expect(table([])).to.equal(''); });
});
