import { elasticsearchOutage, kafkaOutage } from '../faults/outages.js';
import { elasticsearchSettings, kafkaSettings, notRun } from '../support/infra.js';

if (kafkaSettings === undefined || elasticsearchSettings === undefined) notRun('outages under load');
else {
  // Short ones; `npm run faults -- outages --seconds 60` has the long ones.
  describe('outages under load', function () {
    this.timeout(180_000);
    it('takes every command while Elasticsearch is away, refuses searches, and catches up by itself', async () => {
      console.log(`      ${await elasticsearchOutage({ seconds: 6 })}`);
    });
    it('takes every command while Kafka is away, and catches up by itself', async () => {
      console.log(`      ${await kafkaOutage({ seconds: 6 })}`);
    });
  });
}
