/**
 * A build in which no step runs: each is taken to have made something that nobody knows. The frontend, the sources and the
 * solver are the real ones, so every step gets the key that it would have; only what is read of a step's result has no
 * content key.
 */

import { memoryKeyStore } from '../../engine/cache/memory-key-store.ts';
import type { Ref, SnapshotRef } from '../../engine/ops/ref.ts';
import type { LocalCache } from '../../engine/solver/cache.ts';
import type { CacheMap, Op, Vertex, VertexReporter } from '../../engine/solver/op.ts';
import { createSolver } from '../../engine/solver/solver.ts';
import type { EventSink } from '../../engine/status/event.ts';
import { findNamedContext } from '../../plan/frontend/named-context.ts';
import { planDockerfile } from '../../plan/frontend/plan-dockerfile.ts';
import { type Digest, digestOf } from '../../wire/oci/digest.ts';
import { formatReference, parseReference, withDefaultTag, withDigest } from '../../wire/oci/reference.ts';
import { watchErrors } from './build-error.ts';
import { type EmbeddedSession, openEmbeddedSession } from './embedded-session.ts';
import type { Engine } from './engine.ts';
import { type FrontendRequest, frontendRequest } from './frontend-options.ts';
import { checkNoCacheStages } from './no-cache-stages.ts';
import { planEvent } from './plan-event.ts';
import type { BuildRequest } from './request.ts';
import { isSource, resolveBuildOp, solverEdge } from './solver-graph.ts';

/** A base image as its name is understood in a build. */
interface BaseImage {
  /** Of what the name stands for. */
  readonly digest: Digest;
  /** The bytes of the image's config. */
  readonly config: Uint8Array;
}

/** What is known when all keys are. */
export interface Supposed {
  readonly dockerfile: Uint8Array;
  /** The image behind a name of FROM, by a named context if one has the name. @throws what looking images up throws */
  base(name: string): Promise<BaseImage>;
}

export interface SupposeOptions<T> {
  readonly emit: EventSink;
  /** Names at the top of the client's directories that are not there. */
  readonly hidden: readonly string[];
  /** Called at the end, while images can be looked up. */
  readonly use: (supposed: Supposed) => Promise<T>;
}

/**
 * Goes through a build with an empty cache and runs nothing. Events say which keys the steps have; all of them "ran".
 * @returns what `use` returns
 * @throws what a build throws before its first step runs, and what `use` throws
 */
export async function runSupposedBuild<T>(
  engine: Engine,
  request: BuildRequest,
  { emit, hidden, use }: SupposeOptions<T>,
  signal: AbortSignal,
): Promise<T> {
  const errors = watchErrors();
  try {
    await using stack = new AsyncDisposableStack();
    const frontend = stack.use(await frontendRequest(request));
    const session = stack.use(
      openEmbeddedSession({ ...engine, solver: supposingSolver(engine) }, request, frontend, {
        emit,
        contexts: { namesFiles: true, hidden },
        ...errors.observe(frontend),
        onImage: () => undefined,
      }),
    );
    const { host, job, context, load } = session;
    const plan = await planDockerfile(host, frontend.options, signal, () => undefined);
    const { data } = plan.dockerfile;
    checkNoCacheStages(request, data);
    emit(planEvent(plan));
    for (const { definition } of plan.platforms) {
      if (definition.def.length > 0) await job.build(solverEdge(await load(definition), context), signal);
    }
    return await use({ dockerfile: data, base: name => baseImage(name, frontend, session, signal) });
  } catch (error) {
    throw errors.errorOf(error, signal);
  }
}

const SUPPOSED = 'supposed-';

/** Whether a content key stands for files that nobody made. */
export function isSupposedContent(digest: string): boolean {
  return digest.startsWith(SUPPOSED);
}

function isSupposed(ref: Ref): ref is SnapshotRef {
  return ref.kind === 'snapshot' && ref.layers.some(layer => layer.startsWith(SUPPOSED));
}

function supposingSolver({ now }: Engine) {
  const results = new Map<string, Ref>();
  const cache: LocalCache<Ref> = {
    id: 'supposed',
    keys: memoryKeyStore(),
    results: {
      exists: id => results.has(id),
      async load(id) {
        const found = results.get(id);
        if (found === undefined) throw new RangeError(`no result ${id} is supposed`);
        return found;
      },
      save(ref) {
        if (ref.kind === 'local') return undefined;
        const id = `layers ${ref.layers.join(' ')}`;
        results.set(id, ref);
        return id;
      },
    },
  };
  return createSolver<Ref>({ resolveOp: supposingOp, cache, parallelism: 1, now });
}

/** The op of a vertex; if it is a step it makes something without running. */
function supposingOp(vertex: Vertex, reporter: VertexReporter): Op<Ref> {
  const op = resolveBuildOp(vertex, reporter);
  if (isSource(vertex)) return op;
  return {
    weight: 0,
    async cacheMap(index, signal) {
      const { map, done } = await op.cacheMap(index, signal);
      return { map: withSupposed(map), done };
    },
    // One for each output that a step may have.
    exec: async () =>
      Array.from({ length: OUTPUTS }, (_, output) => ({
        kind: 'snapshot',
        layers: [`${SUPPOSED}${vertex.digest}-${output}`],
      })),
  };
}

/** More than a step has. */
const OUTPUTS = 64;

/** A key that tells apart what was made by different steps, in place of one that reads their files. */
function withSupposed(map: CacheMap<Ref>): CacheMap<Ref> {
  return {
    ...map,
    deps: map.deps.map(({ selector, selectorParts, contentDigest, preprocess }) => ({
      ...(selector === undefined ? {} : { selector }),
      ...(selectorParts === undefined ? {} : { selectorParts }),
      ...(contentDigest === undefined
        ? {}
        : {
            contentDigest: async (ref, signal) =>
              isSupposed(ref)
                ? { digest: `${SUPPOSED}${digestOf([selector ?? '', ...ref.layers].join('\n'))}`, parts: [] }
                : contentDigest(ref, signal),
            // Files are needed for nothing else.
            ...(preprocess === undefined
              ? {}
              : {
                  preprocess: async (ref, signal, reporter) =>
                    isSupposed(ref) ? undefined : preprocess(ref, signal, reporter),
                }),
          }),
    })),
  };
}

async function baseImage(
  name: string,
  frontend: FrontendRequest,
  { host }: EmbeddedSession,
  signal: AbortSignal,
): Promise<BaseImage> {
  const named = findNamedContext(host, { raw: frontend.options }, name, undefined, () => [])?.value ?? '';
  const layout = /^oci-layout:\/\/([^@]+)@(sha256:[0-9a-f]{64})$/.exec(named);
  const image = /^docker-image:\/\/(.+)$/.exec(named)?.[1] ?? name;
  const parsed = parseReference(image);
  const ref =
    layout === null
      ? formatReference(withDefaultTag(parsed))
      : formatReference(withDigest(parsed, layout[2] as Digest));
  const { digest, config } = await host.resolveImageConfig(
    {
      ref,
      resolveMode: 'default',
      logName: `load metadata for ${ref}`,
      ...(layout?.[1] === undefined ? {} : { ociLayout: { session: host.sessionID, store: layout[1] } }),
    },
    signal,
  );
  return { digest: digest ?? digestOf(config), config };
}
