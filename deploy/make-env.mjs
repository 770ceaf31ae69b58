// Makes .env from compose.env.example: what is empty there becomes a random value. Never touches one that is there.
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';

const target = process.argv[2] ?? '.env';
const example = readFileSync(new URL('compose.env.example', import.meta.url), 'utf8');
try {
  writeFileSync(target, example.replaceAll(/^([A-Z_]+)=$/gm, (_, name) => `${name}=${randomBytes(24).toString('hex')}`), { flag: 'wx', mode: 0o600 });
  console.log(`${target} is made; only you can read it.`);
} catch (error) {
  if (error.code !== 'EEXIST') throw error;
  console.error(`${target} is there already and stays as it is.`);
  process.exitCode = 1;
}
