/** The layers of STYLE: the domain knows nothing, the application knows the domain and its own ports, adapters know the ports. */
module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    { name: 'domain-imports-nothing', severity: 'error', from: { path: '^src/domain' }, to: { pathNot: '^src/domain' } },
    { name: 'application-knows-domain-and-ports', severity: 'error', from: { path: '^src/application' }, to: { pathNot: '^src/(domain|application)' } },
    { name: 'infrastructure-knows-no-interface', severity: 'error', from: { path: '^src/infrastructure' }, to: { path: '^src/interfaces' } },
    { name: 'http-knows-no-adapter', severity: 'error', from: { path: '^src/interfaces/http', pathNot: '^src/interfaces/http/server/service-app' }, to: { path: '^src/infrastructure' } },
    { name: 'adapters-are-chosen-in-composition', severity: 'error', from: { path: '^src/interfaces' }, to: { path: '^src/infrastructure/(memory|postgres|kafka|elasticsearch)/' } },
    { name: 'only-composition-knows-inversify', severity: 'error', from: { pathNot: '^src/infrastructure/composition' }, to: { path: 'node_modules/inversify' } },
    { name: 'only-its-adapter-knows-opentelemetry', severity: 'error', from: { path: '^src', pathNot: '^src/infrastructure/opentelemetry' }, to: { path: 'node_modules/@opentelemetry' } },
    { name: 'opentelemetry-is-loaded-when-asked-for', severity: 'error', from: { path: '^src', pathNot: '^src/infrastructure/opentelemetry' }, to: { path: '^src/infrastructure/opentelemetry', dependencyTypesNot: ['dynamic-import', 'type-only'] } },
    { name: 'customers-and-orders-meet-in-events', severity: 'error', from: { path: '^src/domain/customers' }, to: { path: '^src/domain/orders' } },
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
