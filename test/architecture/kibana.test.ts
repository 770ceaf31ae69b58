import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { views } from '../../src/application/views/index.js';
import { fieldAt } from '../../src/application/views/declaration.js';
import type { Field, ViewDeclaration } from '../../src/application/ports/view-store.js';
import { packageRoot } from '../../src/infrastructure/process/package-root.js';

interface Reference { type: string; id: string; name: string }
interface Column { operationType: string; sourceField?: string; params?: { orderBy?: { columnId?: string } } }
interface Chart {
  visualization: object;
  query: { query: string };
  datasourceStates: { formBased: { layers: Record<string, { columns: Record<string, Column>; columnOrder: string[] }> } };
}
interface SavedObject {
  type: string;
  id: string;
  /** A data view has `timeFieldName`, a chart `state`, a dashboard `panelsJSON`. */
  attributes: { title: string; timeFieldName: string; state: Chart; panelsJSON: string };
  references: Reference[];
}

const directory = join(packageRoot, 'deploy/kibana');
const objects = readdirSync(directory).filter((name) => name.endsWith('.ndjson'))
  .flatMap((name) => readFileSync(join(directory, name), 'utf8').trimEnd().split('\n').map((line) => JSON.parse(line) as SavedObject));
const ofType = (type: string) => objects.filter((object) => object.type === type);
const idOf = ({ type, id }: { type: string; id: string }) => `${type}:${id}`;

/** The view whose index a data view shows: `orderfold-<name>-*`. */
function viewOf({ id }: { id: string }): ViewDeclaration {
  const { title } = ofType('index-pattern').find((object) => object.id === id)!.attributes;
  const name = /^orderfold-(.+)-\*$/.exec(title)?.[1];
  return Object.values(views).find((view) => view.name === name)!;
}

/** What a field of a document in Elasticsearch is declared as, by its view or by every document's frame. */
function kindOf(view: ViewDeclaration, field: string): Field['kind'] {
  if (field === 'deleted') return 'boolean';
  expect(field).to.match(/^fields\./);
  return fieldAt(view, field.slice('fields.'.length)).kind;
}

const fits: Record<string, readonly Field['kind'][]> = { date_histogram: ['date'], terms: ['keyword', 'boolean'], sum: ['long'] };

describe('the saved objects for Kibana', () => {
  it('are data views, charts and a dashboard, each once', () => {
    expect(new Set(objects.map(idOf)).size).to.equal(objects.length);
    expect(new Set(objects.map(({ type }) => type))).to.deep.equal(new Set(['index-pattern', 'lens', 'dashboard']));
    expect(ofType('lens').length).to.be.greaterThan(3);
  });

  it('refer only to each other', () => {
    const known = new Set(objects.map(idOf));
    expect(objects.flatMap(({ references }) => references.map(idOf)).filter((id) => !known.has(id))).to.deep.equal([]);
  });

  it('show indices of views, by a time that is one', () => {
    for (const dataView of ofType('index-pattern')) expect(kindOf(viewOf(dataView), dataView.attributes.timeFieldName), dataView.id).to.equal('date');
  });

  for (const chart of ofType('lens')) {
    const { title, state } = chart.attributes;
    it(`use declared fields: ${title}`, () => {
      const layers = Object.entries(state.datasourceStates.formBased.layers);
      expect(layers).to.have.length(1);
      for (const [layer, { columns, columnOrder }] of layers) {
        const dataView = chart.references.find(({ name }) => name === `indexpattern-datasource-layer-${layer}`)!;
        const view = viewOf(dataView);
        expect([...columnOrder].sort()).to.deep.equal(Object.keys(columns).sort());
        for (const { operationType, sourceField, params } of Object.values(columns)) {
          if (operationType === 'count') expect(sourceField).to.equal('___records___');
          else expect(fits[operationType], operationType).to.include(kindOf(view, sourceField!));
          if (params?.orderBy?.columnId !== undefined) expect(columns).to.have.property(params.orderBy.columnId);
        }
        // What is drawn are columns of this layer.
        const drawn = [...JSON.stringify(state.visualization).matchAll(/"(?:xAccessor|splitAccessor|columnId)":"(\w+)"|"(?:accessors|primaryGroups|metrics)":\["(\w+)"\]/g)].map(([, one, listed]) => one ?? listed!);
        expect([...new Set(drawn)].sort()).to.deep.equal(Object.keys(columns).sort());
        expect(JSON.stringify(state.visualization)).to.include(`"layerId":"${layer}"`);

        const { query } = state.query;
        expect(query).to.match(/^not deleted: true\b/);
        for (const [, field] of query.matchAll(/([\w.]+):/g)) kindOf(view, field!);
      }
    });
  }

  it('are all on the dashboard', () => {
    const [dashboard, ...others] = ofType('dashboard');
    expect(others).to.deep.equal([]);
    const panels = JSON.parse(dashboard!.attributes.panelsJSON) as { panelIndex: string; panelRefName: string; gridData: { x: number; w: number; i: string } }[];
    expect(dashboard!.references.map(({ name }) => name)).to.deep.equal(panels.map(({ panelIndex, panelRefName }) => `${panelIndex}:${panelRefName}`));
    expect(dashboard!.references.map(idOf)).to.have.members(ofType('lens').map(idOf));
    expect(panels.filter(({ panelIndex, gridData: { x, w, i } }) => x + w > 48 || i !== panelIndex)).to.deep.equal([]);
  });
});
