/** Joins what a place already holds with what a build exports. */
import { type CacheRecordNode, type LayerBlob, type RecordGraph, recordGraph } from '../../solver/record-graph.ts';

/** Adds records to a graph, those below before those above. */
function addRecords<L extends LayerBlob>(graph: RecordGraph<L>, records: readonly CacheRecordNode<L>[]): void {
  const added = new Map<CacheRecordNode<L>, CacheRecordNode<L> | undefined>();
  const stack = [...records].reverse();
  for (let record = stack.at(-1); record !== undefined; record = stack.at(-1)) {
    const below = added.has(record) ? [] : record.inputs.flat().filter(input => !added.has(input.record));
    if (below.length > 0) {
      for (const input of below) stack.push(input.record);
      continue;
    }
    stack.pop();
    if (added.has(record)) continue;
    const inputs = record.inputs.map(alternatives =>
      alternatives.flatMap(({ record: of, selector }) => {
        const known = added.get(of);
        return known === undefined ? [] : [{ record: known, selector }];
      }),
    );
    added.set(record, graph.add(record.digest, inputs, record.results));
  }
}

/** The records of both. Equal ones are one, with the results of both. */
export function mergeRecords<L extends LayerBlob>(
  theirs: readonly CacheRecordNode<L>[],
  ours: readonly CacheRecordNode<L>[],
): readonly CacheRecordNode<L>[] {
  const graph = recordGraph<L>();
  addRecords(graph, theirs);
  addRecords(graph, ours);
  return graph.records();
}
