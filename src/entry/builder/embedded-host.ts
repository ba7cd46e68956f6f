import { randomBytes } from 'node:crypto';
import { open } from 'node:fs/promises';
import { create } from '@bufbuild/protobuf';
import type { ImageMaterial } from '../../engine/exporter/provenance-materials.ts';
import type { OpContext } from '../../engine/ops/op-context.ts';
import type { Ref } from '../../engine/ops/ref.ts';
import { messageOf } from '../../engine/solver/errors.ts';
import type { Job } from '../../engine/solver/solver.ts';
import type { Sources } from '../../engine/source/sources.ts';
import type { EventSink, Timestamp, VertexEvent } from '../../engine/status/event.ts';
import type { FrontendHost } from '../../plan/frontend/host.ts';
import type { LoadedGraph } from '../../plan/llb/load.ts';
import { marshalMessage } from '../../plan/llb/marshal.ts';
import { resolvePath } from '../../store/snapshot/file-tree.ts';
import { systemPath, toBytePath } from '../../wire/fsutil/byte-path.ts';
import type { Platform } from '../../wire/oci/descriptor.ts';
import { digestOf } from '../../wire/oci/digest.ts';
import { formatPlatform } from '../../wire/oci/platform.ts';
import { type Definition, DefinitionSchema, OpSchema } from '../../wire/proto/gen/pb/ops_pb.ts';
import { newestInArchive } from './archive-time.ts';
import { resultFiles } from './result-files.ts';
import { solverEdge } from './solver-graph.ts';

/** What the frontend's questions are answered with. */
export interface EmbeddedHostOptions {
  readonly sessionID: string;
  readonly platforms: readonly [Platform, ...Platform[]];
  readonly job: Job<Ref>;
  readonly context: OpContext;
  readonly sources: Sources;
  readonly emit: EventSink;
  readonly now: () => Timestamp;
  readonly load: (definition: Definition) => Promise<LoadedGraph>;
  /** Sees each image that the frontend looks up. */
  readonly onImage: (image: ImageMaterial) => void;
  /** Sees each file that the frontend reads. */
  readonly onFile: (path: string, data: Uint8Array) => void;
}

/** A file that a frontend asked for and that is not there. */
class FileNotFoundError extends Error {
  override readonly name = 'FileNotFoundError';
}

/** Answers the frontend out of the engine of this process. */
export function embeddedHost(options: EmbeddedHostOptions): FrontendHost {
  const { job, context, sources } = options;
  const host: FrontendHost = {
    sessionID: options.sessionID,
    buildPlatforms: options.platforms,
    supports: () => true,
    newID,
    inputs: async () => new Map(),
    resolveImageConfig: ({ ref, platform, resolveMode, logName, ociLayout }, signal) =>
      shown({ name: logName, digest: metadataDigest(ref, platform ?? context.platform) }, options, async () => {
        const store = ociLayout?.store;
        const { digest, config } = await sources.imageConfig(
          {
            ref,
            platform: platform ?? context.platform,
            resolveMode,
            ...(ociLayout === undefined ? {} : { ociLayout: store === undefined ? {} : { store } }),
          },
          signal,
        );
        options.onImage({
          ref,
          digest,
          local: ociLayout !== undefined,
          ...(platform === undefined ? {} : { platform }),
        });
        return { ref, digest, config };
      }),
    async solve(definition, signal) {
      const { result } = await job.build(solverEdge(await options.load(definition), context), signal);
      const tree = await resultFiles(result, context.layers, signal);
      return {
        async readFile(path, readSignal, length) {
          const { node } = resolvePath(tree, toBytePath(path), true);
          if (node?.type !== 'file') throw new FileNotFoundError(`open ${path}: no such file or directory`);
          const data = await readHead(systemPath(tree.location(node)), length ?? node.size, readSignal);
          options.onFile(path, data);
          return data;
        },
      };
    },
    resolveSourceTime: ({ identifier, attrs, logName }, signal) =>
      shown({ name: logName }, options, async vertex => {
        const changed = await sources.changedAt({ identifier, attrs, vertex }, signal);
        if (changed !== undefined) return { changed };
        const filename = attrs['http.filename'];
        if (filename === undefined) return {};
        return {
          async newestFile(solveSignal) {
            const files = await host.solve(sourceDefinition(identifier, attrs), solveSignal);
            return newestInArchive(await files.readFile(filename, solveSignal), solveSignal);
          },
        };
      }),
  };
  return host;
}

/** The graph of nothing but a source. */
function sourceDefinition(identifier: string, attrs: Readonly<Record<string, string>>): Definition {
  const value = { identifier, attrs: { ...attrs } };
  const source = marshalMessage(OpSchema, create(OpSchema, { op: { case: 'source', value } }));
  const terminal = create(OpSchema, { inputs: [{ digest: digestOf(source), index: 0n }] });
  return create(DefinitionSchema, { def: [source, marshalMessage(OpSchema, terminal)] });
}

/** A random id of 25 characters of base 36, as BuildKit makes them. */
export function newID(): string {
  return BigInt(`0x${randomBytes(17).toString('hex')}`)
    .toString(36)
    .padStart(25, '0')
    .slice(-25);
}

async function readHead(path: string | Buffer, length: number, signal: AbortSignal): Promise<Uint8Array> {
  await using file = await open(path, 'r');
  const buffer = Buffer.alloc(length);
  let filled = 0;
  while (filled < length) {
    signal.throwIfAborted();
    const { bytesRead } = await file.read(buffer, filled, length - filled, filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return buffer.subarray(0, filled);
}

/** The digest that the look-up of an image's metadata is shown under (llb facts, 5). */
function metadataDigest(ref: string, platform: Platform): string {
  return digestOf(`docker-image://${ref}${formatPlatform(platform)}`);
}

/** Shows work as a vertex of its own, outside any graph; its digest is random unless given. */
export async function shown<T>(
  { name, digest = digestOf(`${name} ${newID()}`) }: { readonly name: string; readonly digest?: string },
  { emit, now }: { readonly emit: EventSink; readonly now: () => Timestamp },
  work: (vertex: string) => Promise<T>,
): Promise<T> {
  const vertex: VertexEvent = { kind: 'vertex', digest, inputs: [], name, cached: false };
  const started = now();
  emit({ ...vertex, started });
  try {
    const value = await work(digest);
    emit({ ...vertex, started, completed: now() });
    return value;
  } catch (error) {
    emit({ ...vertex, started, completed: now(), error: isAbort(error) ? 'context canceled' : messageOf(error) });
    throw error;
  }
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError';
}
