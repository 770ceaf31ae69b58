import { views } from '../../application/views/index.js';
import type { ViewDeclaration } from '../../application/ports/view-store.js';
import { administerElasticsearch, type SearchAdministration } from '../elasticsearch/elasticsearch-administration.js';
import type { ElasticsearchConfig } from '../elasticsearch/elasticsearch-client.js';

export type { SearchAdministration } from '../elasticsearch/elasticsearch-administration.js';
export { administerKafka as openKafkaAdministration } from '../kafka/server/kafka-administration.js';

/** Administers the views that live in the query store, whichever context serves them. */
export function openSearchAdministration(config: ElasticsearchConfig): Promise<SearchAdministration> {
  return administerElasticsearch(config, (Object.values(views) as ViewDeclaration[]).filter(({ home }) => home === 'views'));
}
