import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { settings } from '../../src/infrastructure/process/config.js';
import { packageRoot } from '../../src/infrastructure/process/package-root.js';
import { run } from '../support/cli.js';

const readme = readFileSync(join(packageRoot, 'README.md'), 'utf8');

describe('the README', function () {
  this.timeout(60_000);

  it('names only paths that exist', () => {
    const linked = [...readme.matchAll(/\]\(([^)#]+)\)/g)].map(([, path]) => path!).filter((path) => !path.startsWith('http'));
    const quoted = [...readme.matchAll(/`((?:src|test|docs|samples|bench)\/[^`*]+|\.env\.example|LICENSE)`/g)].map(([, path]) => path!);
    expect([...linked, ...quoted].length).to.be.greaterThan(30);
    expect([...linked, ...quoted].filter((path) => !existsSync(join(packageRoot, path)))).to.deep.equal([]);
  });

  it('names only scripts that exist', () => {
    const { scripts } = JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8')) as { scripts: Record<string, string> };
    const named = [...readme.matchAll(/npm (?:run )?(?:--silent )?([a-z][a-z:]*)/g)].map(([, name]) => name!).filter((name) => name !== 'ci');
    expect(named).to.include.members(['start', 'test', 'bench', 'faults', 'infra:up', 'infra:env']);
    expect(named.filter((name) => scripts[name] === undefined)).to.deep.equal([]);
  });

  it('names only commands that exist', async () => {
    const named = new Set([...readme.matchAll(/(?:npx orderfold |`)((?:events|views|commands|search|kafka) [a-z]+|serve|import|doctor|migrate|bench)\b/g)].map(([, name]) => name!));
    expect(named.size).to.be.greaterThan(6);
    const groups = new Set([...named].map((name) => (name.includes(' ') ? name.split(' ')[0]! : '')));
    const offered = await Promise.all([...groups].map(async (group) => {
      const { code, out } = await run([...(group === '' ? [] : [group]), '--help']);
      expect(code, out).to.equal(0);
      return [...out.slice(out.indexOf('Commands:')).matchAll(/^ {2}([a-z-]+)/gm)].map(([, name]) => `${group} ${name!}`.trim());
    }));
    expect([...named].filter((name) => !offered.flat().includes(name))).to.deep.equal([]);
  });

  it('lists the settings that there are, with what they mean', () => {
    const rows = [...readme.matchAll(/^\| `([A-Z_]+)` \|/gm)].map(([, name]) => name!);
    expect(rows).to.deep.equal(Object.keys(settings));
    const example = readFileSync(join(packageRoot, '.env.example'), 'utf8');
    expect(Object.keys(settings).filter((name) => !example.includes(`#${name}=`))).to.deep.equal([]);
  });
});
