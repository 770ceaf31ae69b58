import type { Context } from '../../domain/events.js';
import type { PartitionHeads } from '../log/partition-heads.js';
import type { CheckpointStore } from '../ports/checkpoint-store.js';
import type { Source } from '../ports/event-feed.js';
import { decideOrder, holdOrReleaseCredit } from './index.js';

const pollMs = 5;

/** Resolves when the policies have reacted to all that was stored before the call. @throws Error after `timeoutMs` */
export async function settled(
  { heads, checkpoints }: { heads: Readonly<Record<Context, PartitionHeads>>; checkpoints: Readonly<Record<Context, CheckpointStore>> }, timeoutMs: number,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  // In the saga's own order: what the first policy does is what the second one reacts to.
  for (const policy of [holdOrReleaseCredit, decideOrder]) {
    const last = Object.entries(await heads[policy.from]());
    for (;;) {
      const progress = await checkpoints[policy.to].load(policy.name);
      if (last.every(([source, position]) => (progress[source as Source] ?? 0) >= (position ?? 0))) break;
      if (performance.now() > deadline) throw new Error(`the policy ${policy.name} has not reacted within ${timeoutMs} ms`);
      await new Promise((resolve) => setTimeout(resolve, pollMs));
    }
  }
}
