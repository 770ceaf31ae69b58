import { randomUUID } from 'node:crypto';
import { Rejection } from '../../../domain/shared/rejection.js';
import { BrokerClock } from './broker-clock.js';
import { tooLate, type Operation, type Written } from './command-operations.js';
import type { OperationWriter, Outgoing } from './operation-writer.js';

interface Pending extends Outgoing {
  /** By `performance.now()`. */
  since: number;
  timer: NodeJS.Timeout;
  resolve: (result: unknown) => void;
  reject: (error: Error) => void;
}

const unavailableAfterMs = 5_000;

/** The operations that this process has asked for. Each is done once it has come back from the topic, and its caller waits until then. */
export class PendingOperations {
  private readonly pending = new Map<string, Pending>();
  private readonly clock = new BrokerClock();

  constructor(private readonly writer: Pick<OperationWriter, 'write' | 'withdraw'>, private readonly stop: AbortSignal) {}

  /** By the broker's clock. */
  now(): number {
    return this.clock.now();
  }

  /** @throws Rejection `log.unavailable` when it does not come back in time */
  async perform<T>(operation: Operation): Promise<T> {
    const until = performance.now() + unavailableAfterMs;
    for (;;) {
      const result = await this.ask(operation, until);
      // It was not done, and the broker's time is known better now.
      if (result !== tooLate) return result as T;
    }
  }

  /** An operation, of this process or another, has come back, and was stamped `at` by the broker. */
  answer(id: string, result: unknown, at: number): void {
    const asked = this.remove(id);
    this.clock.heard(at, asked?.since);
    asked?.resolve(result);
  }

  /** Nobody waits any longer. */
  giveUp(): void {
    for (const id of this.pending.keys()) this.refuse(id);
  }

  private ask(operation: Operation, until: number): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const id = randomUUID();
      // Not done later than somebody waits for it. To look is the first thing of all, when the broker's time is not known.
      const written: Written = operation.type === 'look' ? { id, operation } : { id, by: Math.ceil(this.clock.at(until)), operation };
      const asked: Pending = {
        text: JSON.stringify(written), sent: false, since: performance.now(), resolve, reject,
        timer: setTimeout(() => { this.refuse(id); }, until - performance.now()),
      };
      this.pending.set(id, asked);
      if (this.stop.aborted) this.refuse(id);
      else this.writer.write(asked);
    });
  }

  private refuse(id: string): void {
    const asked = this.remove(id);
    if (asked === undefined) return;
    this.writer.withdraw(asked);
    const reason = 'Kafka cannot be reached';
    asked.reject(new Rejection('log.unavailable', asked.sent ? { reason, outcome: 'unknown' } : { reason }));
  }

  private remove(id: string): Pending | undefined {
    const asked = this.pending.get(id);
    this.pending.delete(id);
    clearTimeout(asked?.timer);
    return asked;
  }
}
