const longestHoldMs = 250;

/**
 * Node.js takes one new connection a turn of its event loop. A turn that also answers what came over the last ones takes milliseconds, and the thousandth of a
 * thousand that come at once would wait for seconds. So while connections arrive turn after turn, what they ask for is held back, and the turns are short.
 */
export class Arrivals {
  private arrived = false;
  private watching = false;
  private turns = 0;
  private held: (() => void)[] = [];
  private heldSince = 0;

  /** A connection was taken. */
  connected(): void {
    this.arrived = true;
    if (this.watching) return;
    this.watching = true;
    setImmediate(() => { this.turned(); });
  }

  /** Does `work` now, or, while connections arrive, as soon as none has for a turn, at most `longestHoldMs` later. */
  afterwards(work: () => void): void {
    if (this.turns < 2) {
      work();
      return;
    }
    if (this.held.length === 0) this.heldSince = performance.now();
    this.held.push(work);
  }

  private turned(): void {
    this.turns = this.arrived ? this.turns + 1 : 0;
    this.arrived = false;
    this.watching = this.turns > 0;
    if (this.watching) setImmediate(() => { this.turned(); });
    if (this.held.length === 0 || (this.watching && performance.now() - this.heldSince < longestHoldMs)) return;
    const due = this.held;
    this.held = [];
    for (const work of due) work();
  }
}
