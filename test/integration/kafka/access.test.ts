import { rm } from 'node:fs/promises';
import type { Server } from 'node:https';
import { expect } from 'chai';
import type { AclEntry } from 'kafkajs';
import { compose } from '../../../src/infrastructure/composition/compose.js';
import { readConfig } from '../../../src/infrastructure/process/config.js';
import { connectKafka, loadKafkajs } from '../../../src/infrastructure/kafka/server/kafka-client.js';
import { ensureTopic } from '../../../src/infrastructure/kafka/server/kafka-topics.js';
import { OperatorError } from '../../../src/infrastructure/process/operator-error.js';
import { run, type Environment } from '../../support/cli.js';
import { quiet } from '../../support/events.js';
import { forgetTopics, inTheClear, kafkaConfig, kafkaSettings, notRun, plainBroker, runPrefix } from '../../support/infra.js';
import { temporaryDirectory } from '../../support/postgres.js';
import { testAuthority, type TestAuthority } from '../../support/test-authority.js';

if (kafkaSettings?.KAFKA_TLS === undefined || plainBroker === undefined) notRun('Kafka with TLS and a login');
else withKafka(kafkaSettings, plainBroker);

function withKafka(settings: Environment, plain: string): void {
  describe('Kafka with TLS and a login', function () {
    this.timeout(60_000);
    const environment: Environment = { PROFILE: 'memory', FEED: 'kafka', PORT: '0', ...settings };
    let directory: string;
    let authority: TestAuthority;
    const servers: Server[] = [];
    before(async () => {
      directory = await temporaryDirectory();
      authority = await testAuthority(directory);
    });
    after(async () => {
      await Promise.all(servers.map((server) => new Promise((closed) => { server.close(closed); server.closeAllConnections(); })));
      await rm(directory, { recursive: true });
    });

    const topicsSeen = async (change: Environment = {}) => {
      const admin = connectKafka(kafkaConfig('', { ...settings, ...change })).admin();
      try {
        await admin.connect();
        return await admin.listTopics();
      } finally {
        await admin.disconnect();
      }
    };
    const refused = async (wrong: Environment, expected: RegExp) => {
      const failure: unknown = await compose(readConfig({ ...environment, ...wrong }), { logger: quiet }).then((service) => service.close(), (error: unknown) => error);
      expect(failure).to.be.instanceOf(OperatorError).with.property('message').that.matches(expected).and.does.not.match(/\n/);
    };
    const served = async (certificate: Parameters<TestAuthority['serve']>[0]): Promise<Environment> => {
      const { url, server } = await authority.serve(certificate);
      servers.push(server);
      return { KAFKA_BROKERS: new URL(url).host, KAFKA_CA: authority.ca };
    };

    for (const mechanism of ['plain', 'scram-sha-256', 'scram-sha-512']) {
      it(`takes the login by ${mechanism}`, async () => {
        expect(await topicsSeen({ KAFKA_SASL_MECHANISM: mechanism })).to.be.an('array');
        await refused({ KAFKA_SASL_MECHANISM: mechanism, KAFKA_PASSWORD: 'guessed' }, /^Kafka at 127\.0\.0\.1:\d+: it refused the login: check KAFKA_USERNAME and KAFKA_PASSWORD\.$/);
      });
    }

    it('does not know another user', () => refused({ KAFKA_USERNAME: 'somebody' }, /it refused the login: check KAFKA_USERNAME and KAFKA_PASSWORD\.$/));
    it('is refused at start when another authority has signed its certificate', () => refused({ KAFKA_CA: authority.ca }, /^Kafka at \S+ its certificate is not signed by the authority in KAFKA_CA: check that file\.$/));
    it('is refused at start when no authority is named that has signed it', () => refused({ KAFKA_CA: '' }, /its certificate is not signed by the authority/));
    it('is refused at start when its certificate has expired, in one line', async () => {
      const expired = await served({ to: 2022 });
      const { code, out, err } = await run(['serve'], { ...environment, ...expired });
      expect([code, out, err.trim()]).to.deep.equal([1, '', `orderfold: Kafka at ${expired.KAFKA_BROKERS ?? ''}: its certificate has expired: renew it.`]);
    });
    it('is refused at start when its certificate is not valid yet', async () => refused(await served({ from: 2048 }), /its certificate is not valid yet/));
    it('is refused at start when its certificate is for another host', async () => refused(await served({ names: 'DNS:elsewhere.example' }), /its certificate is for another host name: check KAFKA_BROKERS/));
    it('is refused at start when it takes no login', () => refused({ KAFKA_BROKERS: plain, KAFKA_TLS: '', KAFKA_CA: '' }, /it takes no login there: check KAFKA_BROKERS and KAFKA_SASL_MECHANISM/));

    it('checks the certificate that we show', async () => {
      const { certificate, key } = await authority.certificate({});
      await refused({ KAFKA_CERTIFICATE: certificate, KAFKA_KEY: key }, /it refuses our certificate, or misses one: check KAFKA_CERTIFICATE and KAFKA_KEY/);
    });

    for (const [what, wrong] of [['TLS meets a listener without', { KAFKA_BROKERS: plain }], ['a listener with TLS is asked without', inTheClear], ['it is asked without a login', { KAFKA_SASL_MECHANISM: '', KAFKA_USERNAME: '', KAFKA_PASSWORD: '' }]] as const) {
      it(`hangs up when ${what}: the start says so, and goes on, since this is what a broker does that falls over as well`, async () => {
        const said: string[] = [];
        const logger = { ...quiet, warn: (_facts: unknown, text: string) => { said.push(text); } } as typeof quiet;
        const service = await compose(readConfig({ ...environment, ...wrong }), { logger });
        await service.close();
        expect(said).to.have.length(1);
        expect(said[0]).to.match(/^Kafka at 127\.0\.0\.1:\d+: it closed the connection without an answer: check KAFKA_BROKERS, and whether it wants TLS \(KAFKA_TLS\) or a login \(KAFKA_SASL_MECHANISM\)\.$/);
      });
    }
  });

  describe('orderfold kafka check', function () {
    this.timeout(120_000);
    const environment: Environment = { PROFILE: 'production', KAFKA_PARTITIONS: '3', ...settings };
    // By the listener that may do everything.
    const kafka = connectKafka({ brokers: [plain], topicPrefix: '' });
    let prefix: string;
    let runs = 0;
    beforeEach(() => { prefix = `${runPrefix}-check-${++runs}.`; });
    afterEach(() => forgetTopics(kafka, prefix));

    const check = async (change: Environment = {}) => {
      const { code, out, err } = await run(['kafka', 'check', '--json'], { ...environment, KAFKA_TOPIC_PREFIX: prefix, ...change });
      expect(err).to.equal('');
      return { code, found: new Map((JSON.parse(out) as { check: string; ok: boolean; warning?: true; detail: string }[]).map(({ check: what, ok, warning, detail }) => [what.replace(prefix, ''), `${!ok ? 'failed' : warning ? 'warning' : 'ok'}: ${detail}`])) };
    };

    it('finds all well with the rights that infra:up gives, with no database configured, and warns of a single replica', async () => {
      const before = await check();
      expect(before.code).to.equal(0);
      expect([...before.found.keys()]).to.deep.equal([
        'connection', 'TLS', 'login', 'right to make topics',
        'topic customers.events', 'replication of customers.events', 'rights in customers.events', 'topic orders.events', 'replication of orders.events', 'rights in orders.events',
      ]);
      expect(before.found.get('topic orders.events')).to.equal('warning: it is not there: the service makes it when it starts');
      for (const context of ['customers', 'orders']) await ensureTopic(kafka, `${prefix}${context}.events`, 3);
      const { code, found } = await check();
      expect(code).to.equal(0);
      expect(found.get('TLS')).to.match(/^ok: the certificate of 127\.0\.0\.1:\d+ is trusted, and valid until \d{4}-\d\d-\d\dT.*: \d+ days left$/);
      expect(found.get('login')).to.equal('ok: orderfold, by scram-sha-512; the cluster has 1 broker');
      expect(found.get('right to make topics')).to.equal(`ok: topics that begin with ${prefix} may be made`);
      expect(found.get('topic orders.events')).to.equal('ok: 3 partitions, kept for ever');
      expect(found.get('replication of orders.events')).to.equal('warning: 1 replica, min.insync.replicas=1: a record may be with one broker only, and what is lost with it is read from the log again');
      expect(found.get('rights in orders.events')).to.equal(`ok: orderfold may write, and read in a group that begins with ${prefix}`);
      // It has left nothing behind.
      const admin = kafka.admin();
      await admin.connect();
      expect((await admin.listTopics()).filter((topic) => topic.startsWith(prefix)).sort()).to.deep.equal([`${prefix}customers.events`, `${prefix}orders.events`]);
      expect((await admin.listGroups()).groups.filter(({ groupId }) => groupId.startsWith(prefix))).to.deep.equal([]);
      expect((await admin.fetchTopicOffsets(`${prefix}orders.events`)).map(({ high }) => high)).to.deep.equal(['0', '0', '0']);
      await admin.disconnect();
    });

    it('fails at topics that forget, that have other partitions, or too few replicas', async () => {
      await ensureTopic(kafka, `${prefix}customers.events`, 4);
      const admin = kafka.admin();
      await admin.connect();
      await admin.createTopics({ waitForLeaders: true, topics: [{ topic: `${prefix}orders.events`, numPartitions: 3, configEntries: [{ name: 'retention.ms', value: '604800000' }, { name: 'min.insync.replicas', value: '2' }] }] });
      await admin.disconnect();
      const { code, found } = await check();
      expect(code).to.equal(1);
      expect(found.get('topic customers.events')).to.equal('failed: it has 4 partitions, and 3 are configured (KAFKA_PARTITIONS): the number is fixed for a log\'s life');
      expect(found.get('topic orders.events')).to.match(/^failed: it would forget what it holds, .*\(retention\.ms=604800000\): set retention\.ms=-1/);
      expect(found.get('replication of orders.events')).to.match(/^failed: fewer than min\.insync\.replicas=2 have partitions 0, 1, 2/);
    });

    it('names the rights that are missing', async () => {
      const { AclOperationTypes, AclPermissionTypes, AclResourceTypes, ResourcePatternTypes } = loadKafkajs();
      await ensureTopic(kafka, `${prefix}customers.events`, 3);
      await ensureTopic(kafka, `${prefix}orders.events`, 3);
      const denied = (resource: Pick<AclEntry, 'resourceType' | 'resourceName' | 'resourcePatternType'>, operation: AclEntry['operation']): AclEntry => ({ ...resource, operation, principal: 'User:orderfold', host: '*', permissionType: AclPermissionTypes.DENY });
      const topicOf = (context: string) => ({ resourceType: AclResourceTypes.TOPIC, resourceName: `${prefix}${context}.events`, resourcePatternType: ResourcePatternTypes.LITERAL });
      const acl = [denied(topicOf('orders'), AclOperationTypes.WRITE), denied({ resourceType: AclResourceTypes.GROUP, resourceName: prefix, resourcePatternType: ResourcePatternTypes.PREFIXED }, AclOperationTypes.READ)];
      const admin = kafka.admin();
      await admin.connect();
      await admin.createAcls({ acl });
      try {
        const { code, found } = await check();
        expect(code).to.equal(1);
        expect(found.get('rights in customers.events')).to.match(/^failed: orderfold may not read \(.*\): check the ACLs$/).and.not.include('write');
        expect(found.get('rights in orders.events')).to.match(/^failed: orderfold may not write \(.*\) and read \(.*\): check the ACLs$/);
        expect((await check({ KAFKA_TOPIC_PREFIX: 'foreign.' })).found.get('right to make topics')).to.match(/^failed: Kafka at \S+ the user may not do this: check the ACLs of KAFKA_USERNAME\.$/);
      } finally {
        await admin.deleteAcls({ filters: acl });
        await admin.disconnect();
      }
    });

    it('stops asking where there is no use in it', async () => {
      const { code, found } = await check({ KAFKA_PASSWORD: 'guessed' });
      expect(code).to.equal(1);
      expect(found.get('login')).to.match(/^failed: Kafka at \S+ it refused the login/);
      expect(found.get('right to make topics')).to.equal('failed: not asked without login');
      expect((await check({ KAFKA_BROKERS: '127.0.0.1:1' })).found.get('connection')).to.match(/^failed: 127\.0\.0\.1:1 cannot be reached \(.*\): check KAFKA_BROKERS$/);
      const memory = await run(['kafka', 'check'], { PROFILE: 'memory' });
      expect([memory.code, memory.err.trim()]).to.deep.equal([1, 'orderfold: Nothing goes through Kafka here: set FEED=kafka, COMMAND_QUEUE=kafka, or a PROFILE that has it.']);
    });
  });
}
