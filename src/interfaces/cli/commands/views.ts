import type { Command } from 'commander';
import { views as declarations, type ViewName } from '../../../application/views/index.js';
import { highestApplied } from '../../../application/views/progress.js';
import type { Service } from '../../../infrastructure/composition/compose.js';
import { table } from '../terminal/table.js';
import { withService } from '../terminal/with-service.js';

export function registerViews(program: Command): void {
  const views = program.command('views').description('look at the query stores');
  views.command('list').description('how far each view has got')
    .option('--json', 'as JSON')
    .action(({ json }: { json?: true }) => withService(async (service) => {
      const rows = await listViews(service);
      if (json) console.log(JSON.stringify(rows));
      else console.log(table(rows));
    }));
}

async function listViews({ views, stores }: Service) {
  const heads = Object.fromEntries(await Promise.all(
    Object.entries(stores).map(async ([context, store]) => [context, (await store.head()).position] as const),
  ));
  return Promise.all((Object.keys(declarations) as ViewName[]).map(async (key) => {
    const { name, revision, sortable, contexts } = declarations[key];
    const found = await views[key]?.find({ where: [], sort: { field: sortable[0] ?? '', descending: false }, limit: 1 });
    if (found === undefined) return [];
    const { total, progress } = found;
    const applied = highestApplied(progress);
    return [{
      name,
      revision,
      documents: total,
      positions: contexts.map((context) => `${context} ${applied.get(context) ?? 0} of ${heads[context] ?? '?'}`).join(', '),
      behindSince: progress.behindSince,
      checkedAt: progress.checkedAt,
    }];
  })).then((rows) => rows.flat());
}
