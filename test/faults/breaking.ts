import { Rejection } from '../../src/domain/shared/rejection.js';

/**
 * How a call fails. `dies`: the process ends there, and none of its later calls does anything. `fails`: only this call, as in a short outage, and the process lives on.
 * Before the call had an effect, after it had (the answer is lost), or, where a call can be cut in two, in between.
 */
export const flavours = ['dies before', 'dies after', 'dies within', 'fails before', 'fails after', 'fails within'] as const;
export type Flavour = (typeof flavours)[number];

/** One process of the trial: its `at`-th call to a port that was wrapped fails. */
export class Breaking {
  calls = 0;
  hasFailed = false;
  private dead = false;

  constructor(private readonly flavour: Flavour, private readonly at: number) {}

  /** `half`: does a part of what the call does. */
  async call<T>(whole: () => Promise<T>, half?: () => Promise<unknown>): Promise<T> {
    if (this.dead) throw new Died();
    if (++this.calls !== this.at) {
      const result = await whole();
      // It died in the meantime: nobody is there to hear the answer.
      if (this.isDead()) throw new Died();
      return result;
    }
    this.hasFailed = true;
    const [what, when] = this.flavour.split(' ');
    if (what === 'dies') this.dead = true;
    if (when === 'after') await whole();
    if (when === 'within') await half?.();
    throw what === 'dies' ? new Died() : new Rejection('log.unavailable', { reason: 'a trial' });
  }

  /** The port, with these methods breaking; `halves`: by method, a part of what it does. */
  wrap<T extends object>(port: T, methods: readonly (keyof T & string)[], halves: Partial<Record<string, (...args: never[]) => Promise<unknown>>> = {}): T {
    return new Proxy(port, {
      get: (target, name) => {
        const method = Reflect.get(target, name) as unknown;
        if (typeof method !== 'function') return method;
        const bound = method.bind(target) as (...args: unknown[]) => Promise<unknown>;
        if (!methods.includes(name as keyof T & string)) return bound;
        const half = halves[name as string] as ((...args: unknown[]) => Promise<unknown>) | undefined;
        return (...args: unknown[]) => this.call(() => bound(...args), half && (() => half(...args)));
      },
    });
  }

  private isDead(): boolean {
    return this.dead;
  }
}

export class Died extends Error {
  constructor() {
    super('the process died here');
  }
}
