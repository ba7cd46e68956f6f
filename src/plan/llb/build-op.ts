import { makeOp } from './op.ts';
import type { Edge, VertexOptions } from './vertex.ts';

const DEFINITION = 'buildkit.llb.definition';

export interface BuildOptions extends VertexOptions {
  /** The file of the input that holds the definition; `buildkit.llb.definition` unless given. */
  readonly filename?: string;
}

/** The result of the graph whose marshalled definition is a file of `input`. */
export function buildVertex(input: Edge, options: BuildOptions = {}): Edge {
  const { filename } = options;
  return {
    output: 0,
    vertex: {
      inputs: () => [input],
      encode: context => ({
        op: makeOp(context, options, 'with platform', {
          inputs: [context.input(input)],
          op: {
            case: 'build',
            value: {
              builder: -1n,
              inputs: { [DEFINITION]: { input: 0n } },
              attrs: filename === undefined ? {} : { 'llbbuild.filename': filename },
            },
          },
        }),
        capabilities: filename === undefined ? [] : ['source.buildop.llbfilename'],
        options,
      }),
    },
  };
}
