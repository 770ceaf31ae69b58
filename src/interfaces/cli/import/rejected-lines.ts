import { createWriteStream, type WriteStream } from 'node:fs';
import type { Rejection } from '../../../domain/shared/rejection.js';
import { OperatorError } from '../../../infrastructure/process/operator-error.js';

/** The refused lines of an import, with the reasons. Their file is created when the first one comes. */
export class RejectedLines {
  private stream: WriteStream | undefined;

  /** @param onFailure told when the file cannot be written: refusals are lost from then on, and the import should be done again */
  constructor(private readonly file: string, private readonly onFailure: (error: OperatorError) => void) {}

  add(line: number, { code, details }: Rejection, input: string): void {
    this.stream ??= this.open();
    if (!this.stream.errored) this.stream.write(`${JSON.stringify({ line, reason: { code, ...details }, input: Buffer.from(input, 'latin1').toString() })}\n`);
  }

  /** Resolves when everything is written, or cannot be. */
  async close(): Promise<void> {
    const { stream } = this;
    if (stream === undefined || stream.closed) return;
    const closed = new Promise<void>((resolve) => { stream.once('close', () => { resolve(); }); });
    stream.end();
    await closed;
  }

  private open(): WriteStream {
    return createWriteStream(this.file).once('error', (error) => {
      this.onFailure(new OperatorError(
        `${this.file} cannot be written (${error.message}). What was done is done: run the import again, and only what is left is done.`,
      ));
    });
  }
}
