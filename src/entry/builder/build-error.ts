import { DeviceError } from '../../engine/ops/devices.ts';
import { ExecError } from '../../engine/ops/exec/exec-error.ts';
import { VertexError } from '../../engine/solver/errors.ts';
import type { SourceInfo, SourceRange } from '../../engine/status/event.ts';
import { DockerfileError } from '../../plan/dockerfile/error.ts';
import type { LoadedGraph, LoadedVertex } from '../../plan/llb/load.ts';
import type { Platform } from '../../wire/oci/descriptor.ts';
import { formatPlatform } from '../../wire/oci/platform.ts';
import type { Range } from '../../wire/proto/gen/pb/ops_pb.ts';
import { BuildError, type ErrorSource } from './builder.ts';
import { BuildRequestError, type FrontendRequest } from './frontend-options.ts';
import { missingFileHints } from './missing-file.ts';

/** Where errors of a build point to: the Dockerfile, once it was read, and the graphs that were solved. */
interface ErrorPlaces {
  readonly dockerfile: SourceInfo | undefined;
  readonly graphs: readonly LoadedGraph[];
  /** Directories of the client by the name of their source. */
  readonly localDirs: ReadonlyMap<string, string>;
}

/** Notes, while a build goes on, where its errors may point to. */
interface ErrorWatch {
  readonly graphs: readonly LoadedGraph[];
  /** What a session tells of its graphs and files. */
  observe(frontend: FrontendRequest): {
    onLoad(graph: LoadedGraph): void;
    onFile(path: string, data: Uint8Array): void;
  };
  /** An error with the places that it is about; an abort and a request that cannot be obeyed stay what they are. */
  errorOf(error: unknown, signal: AbortSignal): unknown;
}

/** Opens the watch of one build. */
export function watchErrors(): ErrorWatch {
  const graphs: LoadedGraph[] = [];
  let dockerfile: SourceInfo | undefined;
  let localDirs: ReadonlyMap<string, string> = new Map();
  return {
    graphs,
    observe(frontend) {
      ({ localDirs } = frontend);
      return {
        onLoad: graph => void graphs.push(graph),
        onFile(filename, data) {
          if (filename === frontend.options.get('filename')) dockerfile = { filename, data, language: 'Dockerfile' };
        },
      };
    },
    errorOf(error, signal) {
      if (signal.aborted || error instanceof BuildRequestError) return error;
      return buildError(error, { dockerfile, graphs, localDirs });
    },
  };
}

/** An error of a build with the places in the Dockerfile that it is about; an abort stays what it is. */
function buildError(error: unknown, places: ErrorPlaces): unknown {
  if (error instanceof BuildError || (error instanceof Error && error.name === 'AbortError')) return error;
  // What went wrong first counts, not what then could not be put away.
  if (error instanceof SuppressedError) return buildError(error.suppressed, places);
  const message = error instanceof Error ? error.message : String(error);
  return new BuildError(message, { cause: error, sources: sourcesOf(error, places), hints: hintsOf(error, places) });
}

function sourcesOf(error: unknown, { dockerfile, graphs }: ErrorPlaces): ErrorSource[] {
  if (error instanceof VertexError) {
    const { graph, vertex } = find(error, graphs) ?? {};
    return (vertex?.locations ?? []).flatMap(({ sourceIndex, ranges }) => {
      const info = graph?.sources[sourceIndex];
      if (!info) return [];
      const { filename, data, language } = info;
      return [{ info: { filename, data, language }, ranges: ranges.flatMap(rangeOf) }];
    });
  }
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
    if (!(cause instanceof DockerfileError) || !dockerfile) continue;
    return cause.locations.slice(0, 1).map(({ start, end }) => ({ info: dockerfile, ranges: [lines(start, end)] }));
  }
  return [];
}

function rangeOf({ start, end }: Range): SourceRange[] {
  return start && end ? [lines(start.line, end.line)] : [];
}

function lines(start: number, end: number): SourceRange {
  return { start: { line: start, character: 0 }, end: { line: end, character: 0 } };
}

/** The vertex that failed, and the graph that it is in. */
function find(
  error: VertexError,
  graphs: readonly LoadedGraph[],
): { graph: LoadedGraph; vertex: LoadedVertex } | undefined {
  for (const graph of graphs) {
    const vertex = graph.vertices.find(({ digest }) => digest === error.vertex.digest);
    if (vertex) return { graph, vertex };
  }
  return undefined;
}

/** What lets a machine run steps of another platform. */
function foreignHints(platform: Platform): string[] {
  const { architecture } = platform;
  return [
    `the step is for ${formatPlatform(platform)}, which this machine does not run: install QEMU for it`,
    `(Debian, Ubuntu: apt-get install qemu-user-static; with Docker: docker run --privileged --rm tonistiigi/binfmt --install ${architecture}),`,
    'or let another platform do the step with FROM --platform=$BUILDPLATFORM',
  ];
}

function hintsOf(error: unknown, { graphs, localDirs }: ErrorPlaces): string[] {
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
    if (cause instanceof ExecError && cause.foreign) return foreignHints(cause.foreign);
    if (cause instanceof DeviceError) return [...cause.hints];
  }
  if (!(error instanceof VertexError) || error.at !== 'content') return [];
  const vertex = find(error, graphs)?.vertex;
  return vertex ? missingFileHints(error.message, vertex, localDirs) : [];
}
