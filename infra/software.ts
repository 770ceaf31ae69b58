import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { OperatorError } from '../src/infrastructure/process/operator-error.js';
import { packageRoot } from '../src/infrastructure/process/package-root.js';

const run = promisify(execFile);

export interface Software {
  javaHome: string;
  /** A directory of jars. */
  kafka: string;
  /** The unpacked distribution. */
  elasticsearch: string;
}

/** Kafka's jars and Elasticsearch's distribution, fetched by Maven at first use. @throws OperatorError where Java or Maven is missing */
export async function fetchSoftware(directory: string): Promise<Software> {
  const javaHome = await findJava();
  const software = join(directory, 'software');
  if (!existsSync(software)) {
    await run('mvn', ['--version']).catch(() => { throw new OperatorError('Maven is needed to fetch Kafka and Elasticsearch: install it, and see that `mvn` is on the PATH.'); });
    const fetching = `${software}.fetching`;
    await rm(fetching, { recursive: true, force: true });
    await mkdir(fetching, { recursive: true });
    try {
      await run('mvn', ['--batch-mode', '--quiet', '--file', join(packageRoot, 'infra/pom.xml'), `-Dsoftware=${fetching}`, 'package'], { maxBuffer: 1 << 26 });
    } catch (error) {
      const { stdout = '', message } = error as Error & { stdout?: string };
      throw new OperatorError(`Maven could not fetch Kafka and Elasticsearch: ${stdout.trim().split('\n')[0] ?? message}`);
    }
    await rename(fetching, software);
  }
  return { javaHome, kafka: join(software, 'kafka-4.1.0'), elasticsearch: join(software, 'elasticsearch-8.19.2') };
}

async function findJava(): Promise<string> {
  const needed = 'Java 17 or later is needed to run Kafka and Elasticsearch';
  const { stderr } = await run('java', ['-XshowSettings:properties', '-version'])
    .catch(() => { throw new OperatorError(`${needed}: install it, and see that \`java\` is on the PATH.`); });
  const property = (name: string) => new RegExp(`^\\s*${name.replaceAll('.', '\\.')} = (.*)$`, 'm').exec(stderr)?.[1] ?? '';
  if (Number(property('java.specification.version')) < 17) throw new OperatorError(`${needed}; \`java\` is version ${property('java.version')}.`);
  return property('java.home');
}
