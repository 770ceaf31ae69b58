import type { ChildProcess } from 'node:child_process';
import type { Client } from '@elastic/elasticsearch';
import type { Kafka } from 'kafkajs';
import type { View, ViewStore } from '../../src/application/ports/view-store.js';
import { connectElasticsearch } from '../../src/infrastructure/elasticsearch/elasticsearch-client.js';
import { ElasticsearchViewStores } from '../../src/infrastructure/elasticsearch/elasticsearch-view-store.js';
import { connectKafka } from '../../src/infrastructure/kafka/server/kafka-client.js';
import { openDatabase } from '../../src/infrastructure/postgres/connection/database.js';
import { PostgresViewStores } from '../../src/infrastructure/postgres/views/postgres-view-store.js';
import { roleNames, type Role } from '../../src/infrastructure/process/config.js';
import { start, type Environment } from '../support/cli.js';
import { forgetTopics } from '../support/infra.js';
import type { Servers } from './behind-proxies.js';
import type { AskedService } from './clients.js';
import { fail } from './support.js';
import { views } from './truth.js';

/** What one request to the service came to. `status` 0: no answer came. */
export interface Asked { method: string; path: string; status: number; ms: number; at: number }

const giveUpMs = 20_000;

/** The production profile as an operator runs it: a process for each role. */
export class Production implements AskedService {
  gone = false;
  readonly asked: Asked[] = [];
  private readonly children = new Map<string, ChildProcess>();
  private readonly ending = new Set<ChildProcess>();
  private readonly said: string[] = [];
  private url = '';
  private started = 0;

  private constructor(private readonly servers: Servers, private readonly environment: Environment) {}

  /** `projectors`: so many processes fold the views together. */
  static async start(servers: Servers, { projectors = 1 } = {}): Promise<Production> {
    const production = new Production(servers, { PROFILE: 'production', PORT: '0', CURSOR_SECRET: 'for-a-trial-and-nothing-else-at-all', LOG_LEVEL: 'warn', KAFKA_PARTITIONS: '4', ...servers.settings });
    try {
      // The first one migrates, and makes topics and indices.
      await production.run('api', 'api');
      await Promise.all([
        ...roleNames.filter((role) => role !== 'api' && role !== 'projector').map((role) => production.run(role, role)),
        ...Array.from({ length: projectors }, (_, n) => production.run(`projector-${n}`, 'projector')),
      ]);
      return production;
    } catch (error) {
      await production.stop();
      throw error;
    }
  }

  get partitions(): number { return Number(this.environment.KAFKA_PARTITIONS); }
  get topicPrefix(): string { return this.environment.KAFKA_TOPIC_PREFIX ?? 'orderfold.'; }

  async run(name: string, role: Role): Promise<void> {
    const child = start(['serve', '--roles', role], this.environment);
    this.children.set(name, child);
    this.started = Math.max(this.started, this.children.size);
    await new Promise<void>((resolve, reject) => {
      let output = '';
      child.stdout?.on('data', (chunk: Buffer) => {
        output += chunk.toString();
        const [url] = /http:\/\/127\.0\.0\.1:\d+/.exec(output) ?? [];
        if (role === 'api' && url !== undefined) this.url = url;
        if (/is ready at http\S+|is running/.test(output)) resolve();
      });
      child.stderr?.on('data', (chunk: Buffer) => {
        for (const line of chunk.toString().trim().split('\n')) {
          const words = `${name}: ${short(line)}\n`;
          if (!this.said.slice(-20).some((said) => said.endsWith(words))) this.said.push(`${new Date().toISOString().slice(14, 23)} ${words}`);
        }
        this.said.splice(0, this.said.length - 200);
      });
      child.once('exit', (code) => {
        if (this.children.get(name) === child) this.children.delete(name);
        if (!this.ending.has(child)) this.said.push(`${name} ended by itself with ${code ?? 'no code'}\n`);
        reject(new Error(`${name} did not start: ${this.lastWords}`));
      });
    });
  }

  /** kill -9. */
  async kill(name: string): Promise<void> {
    const child = this.children.get(name);
    if (child === undefined) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    this.ending.add(child);
    child.kill('SIGKILL');
    await ended;
  }

  /** No process may end by itself, whatever its servers do. */
  checkAlive(): void {
    if (this.children.size !== this.started) fail(`a process ended by itself: ${this.lastWords}`);
  }

  get lastWords(): string { return this.said.slice(-60).join(''); }

  async stop(): Promise<void> {
    this.gone = true;
    await Promise.all([...this.children.values()].map(async (child) => {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      this.ending.add(child);
      child.kill('SIGTERM');
      const late = setTimeout(() => { child.kill('SIGKILL'); }, 20_000);
      await ended;
      clearTimeout(late);
    }));
  }

  async request(method: string, path: string, body?: string, headers: Record<string, string> = {}): Promise<{ status: number; body: string } | undefined> {
    const began = performance.now();
    const note = (status: number) => this.asked.push({ method, path, status, ms: performance.now() - began, at: began });
    try {
      const answer = await fetch(this.url + path, { method, headers: { 'content-type': 'application/json', ...headers }, ...(body !== undefined && { body }), signal: AbortSignal.timeout(giveUpMs) });
      const text = await answer.text();
      note(answer.status);
      return { status: answer.status, body: text };
    } catch {
      note(0);
      return undefined;
    }
  }

  /** The views and the topics, past the proxies. */
  async look<T>(work: (seen: { stores: ReadonlyMap<View<object>, ViewStore<object>>; kafka: Kafka; search: Client; databaseUrl: string }) => Promise<T>): Promise<T> {
    const { databaseUrl, kafka, elasticsearch } = this.servers.direct();
    const indexPrefix = this.environment.ELASTICSEARCH_INDEX_PREFIX ?? 'orderfold';
    const search = await connectElasticsearch({ ...elasticsearch, indexPrefix });
    const database = openDatabase(databaseUrl, 'orders');
    try {
      const stores = new Map<View<object>, ViewStore<object>>();
      for (const view of views) stores.set(view, await (view.home === 'views' ? new ElasticsearchViewStores(search, { indexPrefix }) : new PostgresViewStores(() => database)).open(view));
      return await work({ stores, kafka: connectKafka(kafka), search, databaseUrl });
    } finally {
      await database.close();
      await search.close();
    }
  }

  /** Removes its indices and topics from servers that others use. */
  async forget(): Promise<void> {
    await this.look(async ({ kafka, search }) => {
      const names = Object.keys(await search.indices.get({ index: `${this.environment.ELASTICSEARCH_INDEX_PREFIX ?? 'orderfold'}-*` }));
      if (names.length > 0) await search.indices.delete({ index: names });
      await forgetTopics(kafka, this.topicPrefix);
    });
  }
}

/** What matters here of a line of the log. */
function short(line: string): string {
  try {
    const { msg = '', worker = '', err, ...rest } = JSON.parse(line) as { msg?: string; worker?: string; err?: { message: string; details?: object; stack: string } };
    const { level: _level, time: _time, pid: _pid, hostname: _hostname, ...facts } = rest as Record<string, unknown>;
    return `${worker} ${msg} ${err === undefined ? JSON.stringify(facts) : `${err.message} ${JSON.stringify(err.details ?? {})} ${err.stack.split('\n').slice(1, 3).join(' ').replaceAll(/\s+/g, ' ').slice(0, 160)}`}`;
  } catch {
    return line;
  }
}
