import { EventEmitter } from 'node:events';
import type { LogSignal } from '../../application/ports/log-signal.js';
import type { Context } from '../../domain/events.js';

export class MemoryLogSignal implements LogSignal {
  private readonly emitter = new EventEmitter().setMaxListeners(0);

  raise(context: Context): void {
    this.emitter.emit(context);
  }

  subscribe(context: Context, wake: () => void): () => void {
    this.emitter.on(context, wake);
    return () => { this.emitter.off(context, wake); };
  }
}
