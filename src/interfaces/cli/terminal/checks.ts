import type { Check } from '../../../infrastructure/network/check.js';

interface Result { check: string; ok: boolean; warning?: true; detail: string }

/** Asks one after the other and prints what was found, as lines or as JSON. Where something failed, the process ends with 1. */
export async function runChecks(checks: readonly Check[], json: boolean): Promise<void> {
  const results: Result[] = [];
  let stopped: string | undefined;
  for (const { what, vital, ask } of checks) {
    const result = { check: what, ...stopped === undefined ? await answerOf(ask) : { ok: false, detail: `not asked without ${stopped}` } };
    if (!result.ok && vital) stopped ??= what;
    results.push(result);
    if (!json) console.log(lineOf(result));
  }
  if (json) console.log(JSON.stringify(results));
  if (results.some(({ ok }) => !ok)) process.exitCode = 1;
}

function lineOf({ check, ok, warning, detail }: Result): string {
  return (!ok ? 'FAILED' : warning ? 'warning' : 'ok').padEnd(8) + `${check}: ${detail}`;
}

async function answerOf(ask: Check['ask']): Promise<Omit<Result, 'check'>> {
  try {
    const found = await ask();
    return typeof found === 'string' ? { ok: true, detail: found } : { ok: true, warning: true, detail: found.warning };
  } catch (error) {
    return { ok: false, detail: (error as Error).message };
  }
}
