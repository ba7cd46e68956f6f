import { create } from '@bufbuild/protobuf';
import { ExecError } from '../../engine/ops/exec/exec-error.ts';
import { VertexError } from '../../engine/solver/errors.ts';
import { DockerfileError } from '../../plan/dockerfile/error.ts';
import type { LoadedGraph } from '../../plan/llb/load.ts';
import { Code } from '../../wire/grpc/code.ts';
import { type StatusDetail, StatusError, toStatusError } from '../../wire/grpc/status.ts';
import { type Solve, SourceSchema } from '../../wire/proto/gen/control/errdefs_pb.ts';
import type { Range, SourceInfo } from '../../wire/proto/gen/pb/ops_pb.ts';
import {
  exitDetail,
  frontendCapDetail,
  frontendDetail,
  solveDetail,
  sourceDetail,
  subrequestDetail,
  vertexDetail,
} from './error-details.ts';
import { stackDetail } from './error-stack.ts';

/** A frontend that failed; says what it said. */
export class FrontendError extends Error {
  override readonly name = 'FrontendError';
  readonly frontend: string;
  /** Of a frontend that is an image, its reference. */
  readonly source: string;
  /** The Dockerfile, if the frontend read one. */
  readonly dockerfile: SourceInfo | undefined;

  constructor(frontend: string, source: string, cause: unknown, dockerfile?: SourceInfo) {
    super(errorText(cause), { cause });
    this.frontend = frontend;
    this.source = source;
    this.dockerfile = dockerfile;
  }
}

/** A request that the frontend does not know. */
export class SubrequestError extends Error {
  override readonly name = 'SubrequestError';
  readonly request: string;

  constructor(request: string) {
    super(`unsupported request ${request}`);
    this.request = request;
  }
}

/** A frontend lacks what the client needs of it. */
export class FrontendCapabilityError extends Error {
  override readonly name = 'FrontendCapabilityError';
  readonly capability: string;

  constructor(capability: string) {
    super(`unsupported frontend capability ${capability}`);
    this.capability = capability;
  }
}

/** A failed solve of a gateway, with what is known of the step that failed. */
export class SolveError extends Error {
  override readonly name = 'SolveError';
  readonly solve: Solve | undefined;

  constructor(cause: unknown, solve?: Solve) {
    super(errorText(cause), { cause });
    this.solve = solve;
  }
}

/** A step that failed in a graph of a client, which says where in its files the step comes from. */
export class GraphError extends Error {
  override readonly name = 'GraphError';
  readonly graph: LoadedGraph;

  constructor(graph: LoadedGraph, cause: unknown) {
    super(errorText(cause), { cause });
    this.graph = graph;
  }
}

/** Anything thrown by a build as the status that its client gets: the outermost text, and details from outside in. */
export function errorStatus(error: unknown): StatusError {
  if (error instanceof StatusError) return error;
  const details: StatusDetail[] = [];
  let dockerfile: SourceInfo | undefined;
  let graph: LoadedGraph | undefined;
  let code: Code | undefined;
  let origin: Error | undefined;
  for (const one of causes(error)) {
    if (one instanceof Error) origin = one;
    if (one instanceof SolveError) details.push(solveDetail(one.solve));
    else if (one instanceof FrontendError) {
      dockerfile = one.dockerfile ?? dockerfile;
      details.push(frontendDetail(one.frontend, one.source));
    } else if (one instanceof GraphError) graph = one.graph;
    else if (one instanceof VertexError) {
      details.push(...(graph ? vertexSources(graph, one.vertex.digest) : []), vertexDetail(one.vertex.digest));
    } else if (one instanceof DockerfileError && dockerfile !== undefined) {
      details.push(...dockerfileSources(one, dockerfile));
      // What it wraps has the same places.
      dockerfile = undefined;
    } else if (one instanceof ExecError) {
      if (one.exitCode !== undefined) details.push(exitDetail(one.exitCode));
    } else if (one instanceof SubrequestError) details.push(subrequestDetail(one.request));
    else if (one instanceof FrontendCapabilityError) {
      details.push(frontendCapDetail(one.capability));
      code ??= Code.unimplemented;
    } else if (one instanceof StatusError) {
      code ??= one.code;
      details.push(...one.details);
    }
  }
  const status = toStatusError(error);
  const stack = origin && stackDetail(origin);
  return new StatusError(code ?? codeOfSystem(error) ?? status.code, status.message, {
    details: stack ? [stack, ...details] : details,
    cause: error,
  });
}

function* causes(error: unknown): Generator<unknown> {
  for (let one = error; one !== undefined; one = one instanceof Error ? one.cause : undefined) {
    // What went wrong first counts, not what then could not be put away.
    if (one instanceof SuppressedError) one = one.suppressed;
    yield one;
  }
}

/** What an error says. */
export function errorText(cause: unknown): string {
  if (cause instanceof SuppressedError) return errorText(cause.suppressed);
  return cause instanceof Error ? cause.message : String(cause);
}

const SYSTEM_CODES: Readonly<Record<string, Code>> = {
  ENOSPC: Code.resourceExhausted,
  EDQUOT: Code.resourceExhausted,
  ENOMEM: Code.resourceExhausted,
  EMFILE: Code.resourceExhausted,
  ENFILE: Code.resourceExhausted,
  EIO: Code.internal,
  EFAULT: Code.internal,
};

function codeOfSystem(error: unknown): Code | undefined {
  for (const one of causes(error)) {
    if (one instanceof Error && one.name === 'AbortError') return Code.canceled;
    if (one instanceof Error && 'code' in one && typeof one.code === 'string' && one.code in SYSTEM_CODES)
      return SYSTEM_CODES[one.code];
  }
  return undefined;
}

function vertexSources(graph: LoadedGraph, digest: string): StatusDetail[] {
  const vertex = graph.vertices.find(one => one.digest === digest);
  // The place that was added last stands for the outermost call.
  return (vertex?.locations ?? []).toReversed().flatMap(({ sourceIndex, ranges }) => {
    const info = graph.sources[sourceIndex];
    return info ? [sourceDetail(create(SourceSchema, { info, ranges }))] : [];
  });
}

function dockerfileSources({ locations }: DockerfileError, info: SourceInfo): StatusDetail[] {
  return locations.toReversed().map(({ start, end }) => {
    const range: Pick<Range, 'start' | 'end'> = {
      start: { $typeName: 'pb.Position', line: start, character: 0 },
      end: { $typeName: 'pb.Position', line: end, character: 0 },
    };
    return sourceDetail(create(SourceSchema, { info, ranges: [range] }));
  });
}
