// What may import what: the layers, and the order of the rooms inside the application. test/architecture/layers.test.ts plants a wrong import of each kind.

const application = (rooms) => `^src/application/(${rooms})/`;
/** Each room, and those that it may know besides itself. */
const known = {
  ports: 'ports',
  concurrency: 'ports|concurrency',
  log: 'ports|concurrency|log',
  commands: 'ports|concurrency|log|commands',
  views: 'ports|concurrency|log|views',
  queries: 'ports|concurrency|log|views|queries',
  '(customers|orders)': 'ports|concurrency|log|commands|views|queries|customers|orders',
};
const adapters = ['memory', 'postgres', 'kafka', 'elasticsearch', 'opentelemetry'];

module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    { name: 'domain-imports-nothing', severity: 'error', from: { path: '^src/domain' }, to: { pathNot: '^src/domain' } },
    { name: 'customers-and-orders-meet-in-events', severity: 'error', from: { path: '^src/domain/customers' }, to: { path: '^src/domain/orders' } },
    { name: 'application-knows-domain-and-ports', severity: 'error', from: { path: '^src/application' }, to: { pathNot: '^src/(domain|application)' } },
    ...Object.entries(known).map(([room, rooms]) => ({
      name: `application-order-${room.replace(/[()]/g, '').replace('|', '-and-')}`, severity: 'error', from: { path: application(room) }, to: { path: '^src/application/', pathNot: application(rooms) },
    })),
    { name: 'application-has-rooms', severity: 'error', from: { path: '^src' }, to: { path: '^src/application/[^/]+\\.ts$' } },
    ...adapters.map((adapter) => ({
      name: `adapters-do-not-know-each-other-${adapter}`, severity: 'error', from: { path: `^src/infrastructure/${adapter}/` },
      to: { path: `^src/infrastructure/(${adapters.filter((other) => other !== adapter).join('|')})/` },
    })),
    { name: 'only-interfaces-know-composition', severity: 'error', from: { path: '^src/infrastructure', pathNot: '^src/infrastructure/composition' }, to: { path: '^src/infrastructure/composition' } },
    { name: 'infrastructure-knows-no-interface', severity: 'error', from: { path: '^src/infrastructure' }, to: { path: '^src/interfaces' } },
    { name: 'http-knows-no-adapter', severity: 'error', from: { path: '^src/interfaces/(http|schemas)', pathNot: '^src/interfaces/http/server/service-app' }, to: { path: '^src/infrastructure', pathNot: '^src/infrastructure/composition/health' } },
    { name: 'schemas-know-no-interface', severity: 'error', from: { path: '^src/interfaces/schemas' }, to: { path: '^src/interfaces/(http|cli)' } },
    { name: 'http-knows-no-command-line', severity: 'error', from: { path: '^src/interfaces/http' }, to: { path: '^src/interfaces/cli' } },
    { name: 'the-command-line-serves-http-and-no-more', severity: 'error', from: { path: '^src/interfaces/cli', pathNot: '^src/interfaces/cli/commands/serve' }, to: { path: '^src/interfaces/http' } },
    { name: 'adapters-are-chosen-in-composition', severity: 'error', from: { path: '^src/interfaces' }, to: { path: '^src/infrastructure/(memory|postgres|kafka|elasticsearch)/' } },
    { name: 'only-composition-knows-inversify', severity: 'error', from: { pathNot: '^src/infrastructure/composition' }, to: { path: 'node_modules/inversify' } },
    { name: 'only-its-adapter-knows-opentelemetry', severity: 'error', from: { path: '^src', pathNot: '^src/infrastructure/opentelemetry' }, to: { path: 'node_modules/@opentelemetry' } },
    { name: 'opentelemetry-is-loaded-when-asked-for', severity: 'error', from: { path: '^src', pathNot: '^src/infrastructure/opentelemetry' }, to: { path: '^src/infrastructure/opentelemetry', dependencyTypesNot: ['dynamic-import', 'type-only'] } },
    { name: 'no-undeclared-packages', severity: 'error', from: { path: '^src' }, to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown', 'unknown'] } },
    { name: 'nothing-unresolvable', severity: 'error', from: {}, to: { couldNotResolve: true } },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'require', 'node', 'default', 'types'], extensions: ['.ts', '.js', '.cjs', '.mjs', '.d.ts', '.json'] },
  },
};
