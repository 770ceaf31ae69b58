import { Rejection } from '../../../domain/shared/rejection.js';

/**
 * A bounded number of requests under way; the others wait for their turn, the first come first, and not for long: a server that takes on all that comes at once
 * answers everything late, and somebody is told promptly instead.
 */
export class Admission {
  private underWay = 0;
  private readonly waiting = new Set<() => void>();

  constructor(private readonly atOnce: number, private readonly patienceMs = 1_000) {}

  /** @throws Rejection `service.busy` when its turn has not come within `patienceMs`: the work has not been begun */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.underWay < this.atOnce) this.underWay++;
    else await this.turn();
    try {
      return await work();
    } finally {
      this.handOn();
    }
  }

  private turn(): Promise<void> {
    return new Promise((resolve, reject) => {
      const begin = () => {
        clearTimeout(late);
        this.waiting.delete(begin);
        resolve();
      };
      const late = setTimeout(() => {
        this.waiting.delete(begin);
        reject(new Rejection('service.busy', { waitedMs: this.patienceMs }));
      }, this.patienceMs);
      this.waiting.add(begin);
    });
  }

  private handOn(): void {
    const [first] = this.waiting;
    if (first === undefined) this.underWay--;
    else first();
  }
}

/** A batch of the log takes up to 256 commands; queries share a few connections to their store. */
export const commandsAtOnce = 256;
export const queriesAtOnce = 64;
/** These wait for a view, not for the processor. */
const waitingAtOnce = 1_000;

/** For one route: one that hangs, because its store does, holds up no other. */
export function admissionOf(method: string): (waits: boolean) => Admission {
  const usual = new Admission(method === 'get' ? queriesAtOnce : commandsAtOnce);
  const patient = new Admission(waitingAtOnce);
  return (waits) => (waits ? patient : usual);
}
