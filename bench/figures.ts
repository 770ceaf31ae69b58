/** Ours and a baseline, measured in turn in one run: only their ratio is a claim, machines are noisy. */
export interface Comparison {
  name: string;
  unit: string;
  /** One value a round, in the same order. */
  ours: readonly number[];
  baseline: readonly number[];
  ratio: Spread;
}

/** Something without a baseline: what it is here, now. */
export interface Measurement {
  name: string;
  unit: string;
  values: readonly number[];
}

export interface Spread {
  median: number;
  min: number;
  max: number;
}

export function compare(name: string, unit: string, ours: readonly number[], baseline: readonly number[]): Comparison {
  return { name, unit, ours, baseline, ratio: spread(ours.map((value, round) => value / (baseline[round] ?? Number.NaN))) };
}

export function spread(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  const at = (index: number) => sorted[index] ?? Number.NaN;
  return { median: (at(Math.floor(middle)) + at(Math.ceil(middle))) / 2, min: at(0), max: at(sorted.length - 1) };
}

/** Runs both sides in turn, one after the other in each round; the first round only warms them up. @returns how often a second each was done */
export async function inTurn(rounds: number, ms: number, sides: Record<'ours' | 'baseline', (n: number) => Promise<unknown>>): Promise<Record<'ours' | 'baseline', number[]>> {
  const figures = { ours: [] as number[], baseline: [] as number[] };
  for (let round = -1; round < rounds; round++) {
    for (const side of ['baseline', 'ours'] as const) {
      let count = 0;
      const began = performance.now();
      while (performance.now() - began < (round < 0 ? ms / 6 : ms)) await sides[side](count++);
      if (round >= 0) figures[side].push(count * 1_000 / (performance.now() - began));
    }
  }
  return figures;
}
