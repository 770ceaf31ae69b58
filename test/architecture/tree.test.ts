import { readdir, readFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { expect } from 'chai';
import { packageRoot } from '../../src/infrastructure/process/package-root.js';

const longestFile = 250;
const longestLine = 160;
const mostFiles = 12;
/** One file a port, however many there are. */
const manyFiles = ['src/application/ports'];
/** What all rooms beside it share, and the one entry of the command line. */
const loose = ['src/domain/events.ts', 'src/interfaces/cli/main.ts'];

describe('the tree', () => {
  let files: string[];
  before(async () => {
    const entries = await readdir(join(packageRoot, 'src'), { recursive: true, withFileTypes: true });
    files = entries.filter((entry) => entry.isFile() && entry.name.endsWith('.ts')).map((entry) => relative(packageRoot, join(entry.parentPath, entry.name)));
    expect(files.length).to.be.greaterThan(200);
  });

  it('has no long files, and no long lines', async () => {
    const long: string[] = [];
    for (const file of files) {
      const lines = (await readFile(join(packageRoot, file), 'utf8')).trimEnd().split('\n');
      if (lines.length > longestFile) long.push(`${file}: ${lines.length} lines`);
      lines.forEach((line, index) => { if (line.length > longestLine) long.push(`${file}:${index + 1}: ${line.length} characters`); });
    }
    expect(long).to.deep.equal([]);
  });

  it('has few files in a folder, and none beside rooms', () => {
    const folders = [...new Set(files.map(dirname))];
    const inside = (folder: string) => files.filter((file) => dirname(file) === folder).length;
    const full = folders.filter((folder) => inside(folder) > mostFiles && !manyFiles.includes(folder)).map((folder) => `${folder}: ${inside(folder)} files`);
    const withRooms = (folder: string) => folders.some((other) => dirname(other) === folder);
    const beside = files.filter((file) => withRooms(dirname(file)) && !loose.includes(file));
    expect([...full, ...beside]).to.deep.equal([]);
  });
});
