import { isDeepStrictEqual } from 'node:util';
import { fromBinary } from '@bufbuild/protobuf';
import type { FrontendCall } from '../../engine/exporter/provenance-request.ts';
import { type Definition, OpSchema } from '../../wire/proto/gen/pb/ops_pb.ts';

/**
 * Which calls of frontends made which graphs, for as long as the builds run that they were made in: a frontend in a client may
 * give a graph that one frontend made to another one, in the same build or in another.
 */
export interface FrontendCalls {
  /** For one build; its calls are forgotten when it is disposed. */
  hold(): FrontendCallsHold;
}

interface FrontendCallsHold extends Disposable {
  note(definition: Definition, call: FrontendCall): void;
  /** The calls that made graphs, in any build, by the graphs' names; without those that none made, or several that differ. */
  find(inputs: ReadonlyMap<string, Definition>): Map<string, FrontendCall>;
}

/** No calls yet. */
export function createFrontendCalls(): FrontendCalls {
  const holds = new Set<Map<string, FrontendCall[]>>();

  function findOne(definition: Definition): FrontendCall | undefined {
    const head = headOf(definition);
    if (head === undefined) return undefined;
    const [first, ...others] = [...holds].flatMap(calls => calls.get(head) ?? []);
    return others.every(other => isDeepStrictEqual(other, first)) ? first : undefined;
  }

  return {
    hold() {
      const byHead = new Map<string, FrontendCall[]>();
      holds.add(byHead);
      return {
        note(definition, call) {
          const head = headOf(definition);
          if (head !== undefined) byHead.set(head, [...(byHead.get(head) ?? []), call]);
        },
        find(inputs) {
          const found = new Map<string, FrontendCall>();
          for (const [name, definition] of inputs) {
            const call = findOne(definition);
            if (call !== undefined) found.set(name, call);
          }
          return found;
        },
        [Symbol.dispose]: () => void holds.delete(byHead),
      };
    },
  };
}

/** The digest of the vertex that a graph results in: what its last op points to. */
function headOf({ def }: Definition): string | undefined {
  const last = def.at(-1);
  return last === undefined ? undefined : fromBinary(OpSchema, last).inputs[0]?.digest;
}
