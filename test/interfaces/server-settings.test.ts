import { rm } from 'node:fs/promises';
import { expect } from 'chai';
import { readConfig } from '../../src/infrastructure/process/config.js';
import { connectElasticsearch } from '../../src/infrastructure/elasticsearch/elasticsearch-client.js';
import { connectKafka } from '../../src/infrastructure/kafka/server/kafka-client.js';
import { OperatorError } from '../../src/infrastructure/process/operator-error.js';
import type { Environment } from '../support/cli.js';
import { temporaryDirectory } from '../support/postgres.js';
import { testAuthority } from '../support/test-authority.js';

describe('the settings of Kafka', () => {
  const base: Environment = { PROFILE: 'memory', FEED: 'kafka', KAFKA_BROKERS: 'kafka.example:9093,127.0.0.1:9093' };
  const login: Environment = { KAFKA_SASL_MECHANISM: 'scram-sha-512', KAFKA_USERNAME: 'ada', KAFKA_PASSWORD: 'secret' };
  const read = (settings: Environment) => readConfig({ ...base, ...settings }).kafka;
  const refused = (settings: Environment & { NODE_TLS_REJECT_UNAUTHORIZED?: string }, expected: RegExp) => {
    expect(() => read(settings)).to.throw(OperatorError).with.property('message').that.matches(expected).and.does.not.match(/\n|secret/);
  };

  it('lead to brokers in the clear, or with TLS, a certificate and a login', () => {
    const brokers = ['kafka.example:9093', '127.0.0.1:9093'];
    expect(read({})).to.deep.equal({ brokers, topicPrefix: 'orderfold.' });
    expect(read({ KAFKA_TLS: 'true' })).to.deep.equal({ brokers, topicPrefix: 'orderfold.', tls: {} });
    expect(read({ KAFKA_TLS: 'true', KAFKA_CA: 'ca', KAFKA_CERTIFICATE: 'crt', KAFKA_KEY: 'key', ...login })).to.deep.equal({
      brokers, topicPrefix: 'orderfold.', tls: { ca: 'ca', own: { certificate: 'crt', key: 'key' } }, sasl: { mechanism: 'scram-sha-512', username: 'ada', password: 'secret' },
    });
  });

  it('are refused where a password would travel in the clear, and only there', () => {
    const plain: Environment = { ...login, KAFKA_SASL_MECHANISM: 'plain' };
    refused(plain, /^KAFKA_SASL_MECHANISM=plain is refused without KAFKA_TLS=true: the password would travel to kafka\.example:9093 in the clear\.$/);
    for (const settings of [{ KAFKA_TLS: 'true' }, { KAFKA_BROKERS: '127.0.0.1:9093,localhost:9093' }, { KAFKA_SASL_MECHANISM: 'scram-sha-256' }]) {
      expect(read({ ...plain, ...settings })?.sasl).to.include({ username: 'ada' });
    }
  });

  it('are refused where something is missing beside another', () => {
    refused({ KAFKA_CA: 'ca' }, /^KAFKA_CA is of no use without KAFKA_TLS=true\.$/);
    refused({ KAFKA_CERTIFICATE: 'crt', KAFKA_KEY: 'key' }, /^KAFKA_CERTIFICATE is of no use without KAFKA_TLS=true\.$/);
    refused({ KAFKA_TLS: 'true', KAFKA_CERTIFICATE: 'crt' }, /^KAFKA_CERTIFICATE and KAFKA_KEY are of use together only/);
    refused({ KAFKA_TLS: 'true', KAFKA_KEY: 'key' }, /^KAFKA_CERTIFICATE and KAFKA_KEY are of use together only/);
    refused({ KAFKA_USERNAME: 'ada' }, /KAFKA_SASL_MECHANISM and KAFKA_PASSWORD is missing\.$/);
    for (const name of Object.keys(login)) refused({ ...login, [name]: '' }, new RegExp(`^A login to Kafka needs .*: ${name} is missing\\.$`));
    refused({ ...login, KAFKA_SASL_MECHANISM: 'gssapi' }, /KAFKA_SASL_MECHANISM must be one of/);
    refused({ KAFKA_TLS: 'true', NODE_TLS_REJECT_UNAUTHORIZED: '0' }, /it would trust any certificate\. Name the authority with KAFKA_CA/);
  });

  it('name files that can be read', () => {
    const own = { certificate: '/nowhere/own.crt', key: '/nowhere/own.key' };
    for (const [tls, setting] of [[{ ca: '/nowhere/ca.crt' }, 'KAFKA_CA'], [{ own }, 'KAFKA_CERTIFICATE'], [{ own: { ...own, certificate: '/dev/null' } }, 'KAFKA_KEY']] as const) {
      expect(() => connectKafka({ brokers: ['127.0.0.1:1'], topicPrefix: '', tls })).to.throw(OperatorError, `check ${setting}.`);
    }
  });
});

describe('the settings of Elasticsearch', () => {
  const base: Environment = { PROFILE: 'memory', VIEWS: 'elasticsearch', ELASTICSEARCH_URL: 'https://search.example:9200' };
  const user: Environment = { ELASTICSEARCH_USERNAME: 'ada', ELASTICSEARCH_PASSWORD: 'secret' };

  it('have an API key in place of user and password, and not beside them', () => {
    expect(readConfig({ ...base, ELASTICSEARCH_API_KEY: 'a2V5' }).elasticsearch).to.deep.equal({ url: base.ELASTICSEARCH_URL, apiKey: 'a2V5', indexPrefix: 'orderfold' });
    expect(readConfig({ ...base, ...user }).elasticsearch).to.deep.equal({ url: base.ELASTICSEARCH_URL, username: 'ada', password: 'secret', indexPrefix: 'orderfold' });
    for (const name of Object.keys(user) as (keyof typeof user)[]) {
      expect(() => readConfig({ ...base, ELASTICSEARCH_API_KEY: 'a2V5', [name]: 'x' }), name).to.throw(OperatorError, 'ELASTICSEARCH_API_KEY is refused beside');
      expect(() => readConfig({ ...base, ...user, [name]: '' }), name).to.throw(OperatorError, 'or ELASTICSEARCH_API_KEY.');
    }
    expect(() => readConfig({ ...base, ELASTICSEARCH_API_KEY: 'a2V5', ELASTICSEARCH_URL: 'http://search.example:9200' })).to.throw(OperatorError, 'the key would travel in the clear');
  });

  it('send the API key with each request, over TLS', async function () {
    this.timeout(30_000);
    const directory = await temporaryDirectory();
    const { ca, serve } = await testAuthority(directory);
    const { url, server } = await serve({});
    const asked: (string | undefined)[] = [];
    server.removeAllListeners('request').on('request', ({ headers }, answer) => {
      asked.push(headers.authorization);
      answer.setHeader('x-elastic-product', 'Elasticsearch').setHeader('content-type', 'application/json').end('{"status":"green"}');
    });
    const client = await connectElasticsearch({ url, ca, apiKey: 'a2V5', indexPrefix: 'orderfold' });
    try {
      expect(await client.cluster.health()).to.include({ status: 'green' });
      expect(asked).to.deep.equal(['ApiKey a2V5']);
    } finally {
      await client.close();
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
      await rm(directory, { recursive: true });
    }
  });
});
