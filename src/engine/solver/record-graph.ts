/** The records of an exported cache as a graph. Equal records become one: same digest, and an input in common each. */
import type { Timestamp } from '../status/event.ts';

/** What the graph has to know of a layer. */
export interface LayerBlob {
  readonly digest: string;
}

/** A result of a record: its layers, lowest first. */
export interface RecordResult<L extends LayerBlob> {
  readonly createdAt: Timestamp;
  readonly layers: readonly L[];
}

export interface RecordInput<L extends LayerBlob> {
  readonly record: CacheRecordNode<L>;
  readonly selector: string;
}

/** One record. A reader must take `inputs[i]` as alternatives. */
export interface CacheRecordNode<L extends LayerBlob> {
  readonly digest: string;
  readonly inputs: RecordInput<L>[][];
  readonly results: RecordResult<L>[];
}

export interface RecordGraph<L extends LayerBlob> {
  /**
   * Adds a record, or adds to the record that it is equal to. A `random:` digest makes none.
   *
   * @param inputs - per input the alternatives, none of them empty; no inputs makes a root.
   */
  add(
    digest: string,
    inputs: readonly (readonly RecordInput<L>[])[],
    results: readonly RecordResult<L>[],
  ): CacheRecordNode<L> | undefined;
  records(): readonly CacheRecordNode<L>[];
}

interface Node<L extends LayerBlob> extends CacheRecordNode<L> {
  /** Records above, by input, digest and selector. */
  readonly above: Map<string, Set<Node<L>>>;
}

/** An empty graph. */
export function recordGraph<L extends LayerBlob>(): RecordGraph<L> {
  const nodes = new Map<CacheRecordNode<L>, Node<L>>();
  const roots = new Map<string, Node<L>>();

  function create(digest: string): Node<L> {
    const node: Node<L> = { digest, inputs: [], results: [], above: new Map() };
    nodes.set(node, node);
    return node;
  }

  function nodeOf(record: CacheRecordNode<L>): Node<L> {
    const node = nodes.get(record);
    if (node === undefined) throw new Error(`the record ${record.digest} is of another graph`);
    return node;
  }

  function equals(digest: string, inputs: readonly (readonly RecordInput<L>[])[]): Node<L>[] {
    const perInput = inputs.map((alternatives, index) => {
      const found = new Set<Node<L>>();
      for (const { record, selector } of alternatives) {
        for (const node of nodeOf(record).above.get(slot(index, digest, selector)) ?? []) found.add(node);
      }
      return found;
    });
    const [first, ...others] = perInput;
    return first === undefined ? [] : [...first].filter(node => others.every(found => found.has(node)));
  }

  function connect(above: Node<L>, index: number, { record, selector }: RecordInput<L>): void {
    const below = nodeOf(record);
    const key = slot(index, above.digest, selector);
    const known = below.above.get(key) ?? new Set();
    if (known.has(above)) return;
    below.above.set(key, known.add(above));
    while (above.inputs.length <= index) above.inputs.push([]);
    above.inputs[index]?.push({ record: below, selector });
  }

  /** Moves all that is known of `from` to `into`, which is equal to it. */
  function unite(into: Node<L>, from: Node<L>): void {
    for (const result of from.results) addResult(into, result);
    for (const [index, alternatives] of from.inputs.entries()) {
      for (const input of alternatives) {
        nodeOf(input.record)
          .above.get(slot(index, from.digest, input.selector))
          ?.delete(from);
        connect(into, index, input);
      }
    }
    for (const aboves of from.above.values()) {
      for (const above of aboves) {
        for (const [index, alternatives] of above.inputs.entries()) {
          for (const [at, input] of [...alternatives.entries()].reverse()) {
            if (input.record !== from) continue;
            alternatives.splice(at, 1);
            connect(above, index, { record: into, selector: input.selector });
          }
        }
      }
    }
    nodes.delete(from);
  }

  return {
    add(digest, inputs, results) {
      if (digest.startsWith('random:')) return undefined;
      if (inputs.length === 0) {
        const root = roots.get(digest) ?? create(digest);
        roots.set(digest, root);
        for (const result of results) addResult(root, result);
        return root;
      }
      const [known, ...more] = equals(digest, inputs);
      const node = known ?? create(digest);
      for (const other of more) unite(node, other);
      for (const result of results) addResult(node, result);
      // Links from what stands above the record would make a loop.
      const above = known === undefined ? new Set<Node<L>>() : allAbove(node);
      for (const [index, alternatives] of inputs.entries()) {
        for (const input of alternatives) {
          const below = nodes.get(input.record);
          if (below !== undefined && !above.has(below)) connect(node, index, input);
        }
      }
      return node;
    },
    records: () => [...nodes.values()],
  };
}

function slot(index: number, digest: string, selector: string): string {
  return `${index} ${digest} ${selector}`;
}

/** A record and all that stand on it. */
function allAbove<L extends LayerBlob>(node: Node<L>): Set<Node<L>> {
  const above = new Set([node]);
  for (const next of above) for (const nodes of next.above.values()) for (const one of nodes) above.add(one);
  return above;
}

function addResult<L extends LayerBlob>(node: Node<L>, result: RecordResult<L>): void {
  const same = node.results.some(
    known =>
      known.createdAt === result.createdAt &&
      known.layers.length === result.layers.length &&
      known.layers.every((layer, index) => layer.digest === result.layers[index]?.digest),
  );
  if (!same) node.results.push(result);
}

/** The result of a record to export: the newest. */
export function newestResult<L extends LayerBlob>(record: CacheRecordNode<L>): RecordResult<L> | undefined {
  return record.results.reduce<RecordResult<L> | undefined>(
    (newest, result) => (newest === undefined || result.createdAt > newest.createdAt ? result : newest),
    undefined,
  );
}
