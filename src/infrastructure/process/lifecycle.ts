import type { Logger } from '../../application/ports/logger.js';

/** Closes what was opened, in reverse order. */
export class Lifecycle {
  private readonly opened: { name: string; close: () => Promise<void> }[] = [];

  constructor(private readonly logger: Logger) {}

  opens(name: string, close: () => Promise<void>): void {
    this.opened.push({ name, close });
  }

  /** Closes everything; what fails to close is reported and does not keep the rest open. */
  async close(): Promise<void> {
    for (let last = this.opened.pop(); last !== undefined; last = this.opened.pop()) {
      try {
        await last.close();
      } catch (error) {
        this.logger.error({ err: error, resource: last.name }, 'could not be closed');
      }
    }
  }
}
