/** A suite of an adapter whose server does not run is reported as pending, and that is a failure in CI. */
export function notRun(suite: string, wayOut = 'npm run infra:up starts its server'): void {
  describe(suite, () => {
    it(`was not run: ${wayOut}`);
  });
}
