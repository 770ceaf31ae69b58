/** Rows in columns, under the names of their fields; numbers are aligned to the right. `null` and `undefined` are empty. */
export function table<Row extends object>(rows: readonly Row[]): string {
  const names = Object.keys(rows[0] ?? {}) as (keyof Row & string)[];
  const cells = rows.map((row) => names.map((name) => text(row[name])));
  const widths = names.map((name, column) => Math.max(name.length, ...cells.map((row) => row[column]?.length ?? 0)));
  const right = names.map((name) => rows.every((row) => typeof row[name] === 'number'));
  const padded = (cell: string, column: number) => (right[column] ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0));
  const line = (row: readonly string[]) => row.map((cell, column) => padded(cell, column)).join('  ').trimEnd();
  return [names, ...cells].map(line).join('\n');
}

function text(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? String(value) : '';
}
