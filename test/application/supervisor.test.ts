import { expect } from 'chai';
import sinon from 'sinon';
import type { Logger } from '../../src/application/ports/logger.js';
import { supervise, type WorkerStatus } from '../../src/application/concurrency/supervisor.js';

describe('a worker that fails again and again', () => {
  it('is tried every 5 s, and the log hears the same of it once a minute, and anything else at once', async () => {
    const clock = sinon.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    const stop = new AbortController();
    const said: string[] = [];
    const logger = { error: ({ err }: { err: Error }) => { said.push(err.message); } } as unknown as Logger;
    const status: WorkerStatus = { name: 'relay', state: 'standby' };
    let tried = 0;
    let why = 'the login is refused';
    const supervised = supervise(status, { leadership: { lead: (_name, signal, work) => work(signal) }, logger }, stop.signal, () => {
      tried++;
      return Promise.reject(new Error(why));
    });
    try {
      await clock.tickAsync(130_000);
      expect(tried).to.be.within(25, 35);
      expect([status.state, status.error]).to.deep.equal(['failing', why]);
      expect(said).to.deep.equal([why, why, why]);
      why = 'the certificate has expired';
      await clock.tickAsync(5_000);
      expect(said.slice(3)).to.deep.equal([why]);
    } finally {
      stop.abort();
      await clock.tickAsync(5_000);
      clock.restore();
      await supervised;
    }
  });
});
