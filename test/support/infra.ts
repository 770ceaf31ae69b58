import { readState, runningServers, settingsOf } from '../../infra/state.js';

const state = await readState();
const running = await runningServers();
const settings = state && settingsOf(state);

/** Settings of the real servers, where `npm run infra:up` has them running. */
export const kafkaSettings = running.kafka ? settings : undefined;
export const elasticsearchSettings = running.elasticsearch ? settings : undefined;

/** Names that belong to this test run alone. */
export const runPrefix = `orderfold-test-${process.pid}`;

/** A suite of an adapter whose server does not run is reported as pending, and that is a failure in CI. */
export function notRun(suite: string): void {
  describe(suite, () => {
    it('was not run: npm run infra:up starts its server');
  });
}
