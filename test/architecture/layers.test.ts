import { execFile } from 'node:child_process';
import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { packageRoot } from '../../src/infrastructure/process/package-root.js';

const run = promisify(execFile);
const depcruise = join(packageRoot, 'node_modules/dependency-cruiser/bin/dependency-cruise.mjs');

interface Report {
  summary: { totalCruised: number; violations: { from: string; to: string; rule: { name: string } }[] };
}

async function cruise(directory: string, folder = 'src'): Promise<Report['summary']> {
  const args = [depcruise, folder, '--config', join(packageRoot, '.dependency-cruiser.cjs'), '--output-type', 'json'];
  const { stdout } = await run(process.execPath, args, { cwd: directory, maxBuffer: 64 * 1024 * 1024 }).catch((error: unknown) => {
    // Violations are reported through the exit code as well.
    if (typeof error === 'object' && error !== null && 'stdout' in error && error.stdout !== '') return error as { stdout: string };
    throw error;
  });
  return (JSON.parse(stdout) as Report).summary;
}

/** The rule, where a file breaks it, and what that file imports. */
const planted = [
  ['domain-imports-nothing', 'domain', 'node:fs'],
  ['customers-and-orders-meet-in-events', 'domain/customers', 'src/domain/orders/order.ts'],
  ['application-knows-domain-and-ports', 'application/log', 'src/infrastructure/memory/store.ts'],
  ['application-order-ports', 'application/ports', 'src/application/log/codec.ts'],
  ['application-order-concurrency', 'application/concurrency', 'src/application/log/codec.ts'],
  ['application-order-log', 'application/log', 'src/application/commands/execute.ts'],
  ['application-order-commands', 'application/commands', 'src/application/views/fold.ts'],
  ['application-order-views', 'application/views', 'src/application/queries/lists.ts'],
  ['application-order-queries', 'application/queries', 'src/application/orders/order-queries.ts'],
  ['application-order-customers-and-orders', 'application/customers', 'src/application/policies/policy.ts'],
  ['application-has-rooms', 'application/policies', 'src/application/loose.ts'],
  ...['postgres', 'kafka', 'elasticsearch', 'opentelemetry'].map((adapter) => [`adapters-do-not-know-each-other-${adapter}`, `infrastructure/${adapter}`, 'src/infrastructure/memory/store.ts'] as const),
  ['adapters-do-not-know-each-other-memory', 'infrastructure/memory', 'src/infrastructure/kafka/events/feed.ts'],
  ['only-interfaces-know-composition', 'infrastructure/process', 'src/infrastructure/composition/compose.ts'],
  ['infrastructure-knows-no-interface', 'infrastructure/composition', 'src/interfaces/http/server/app.ts'],
  ['http-knows-no-adapter', 'interfaces/http/routes', 'src/infrastructure/process/config.ts'],
  ['schemas-know-no-interface', 'interfaces/schemas', 'src/interfaces/http/server/app.ts'],
  ['http-knows-no-command-line', 'interfaces/http/server', 'src/interfaces/cli/main.ts'],
  ['the-command-line-serves-http-and-no-more', 'interfaces/cli/commands', 'src/interfaces/http/server/app.ts'],
  ['adapters-are-chosen-in-composition', 'interfaces/cli/commands', 'src/infrastructure/memory/store.ts'],
  ['only-composition-knows-inversify', 'infrastructure/process', 'inversify'],
  ['only-its-adapter-knows-opentelemetry', 'infrastructure/process', '@opentelemetry/api'],
  ['opentelemetry-is-loaded-when-asked-for', 'infrastructure/process', 'src/infrastructure/opentelemetry/otlp.ts'],
  ['no-undeclared-packages', 'infrastructure/process', 'sinon'],
  ['nothing-unresolvable', 'domain', './nowhere.js'],
] as const;

describe('the layers', function () {
  this.timeout(60_000);

  it('depend only inwards', async () => {
    const { totalCruised, violations } = await cruise(packageRoot);
    expect(violations.map(({ from, to, rule }) => `${rule.name}: ${from} -> ${to}`)).to.deep.equal([]);
    expect(totalCruised).to.be.greaterThan(50);
  });

  it('are really checked: a wrong import of each kind is found', async () => {
    await mkdir(join(packageRoot, 'build'), { recursive: true });
    const directory = await mkdtemp(join(packageRoot, 'build/layers-'));
    const write = async (file: string, text: string) => {
      await mkdir(dirname(join(directory, file)), { recursive: true });
      await writeFile(join(directory, file), text);
    };
    try {
      await write('tsconfig.json', '{}');
      await write('package.json', '{}');
      for (const [rule, from, to] of planted) {
        const file = `src/${from}/${rule}.ts`;
        if (to.startsWith('src/')) await write(to, 'export const there = 1;\n');
        await write(file, `import * as there from '${to.startsWith('src/') ? relative(dirname(file), to).replace(/^(?!\.)/, './').replace(/ts$/, 'js') : to}';\nexport const found = there;\n`);
      }
      await write('src/domain/here.ts', "import './there.js';\n");
      await write('src/domain/there.ts', "import './here.js';\n");
      const { violations } = await cruise(directory);
      const found = new Set(violations.map(({ from, rule }) => `${rule.name}: ${from}`));
      expect(planted.filter(([rule, from]) => !found.has(`${rule}: src/${from}/${rule}.ts`))).to.deep.equal([]);
      const { forbidden } = createRequire(import.meta.url)(join(packageRoot, '.dependency-cruiser.cjs')) as { forbidden: { name: string }[] };
      const broken = new Set(violations.map(({ rule }) => rule.name));
      expect(forbidden.map(({ name }) => name).filter((name) => !broken.has(name))).to.deep.equal([]);
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});
