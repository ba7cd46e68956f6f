/** Makes of a vertex of the build graph what the solver keys and runs. */

import type { Platform } from '../../wire/oci/descriptor.ts';
import { normalizePlatform } from '../../wire/oci/platform.ts';
import type { LinuxResources, Op as OpMessage, OpMetadata } from '../../wire/proto/gen/pb/ops_pb.ts';
import type { CacheDep, CacheMap, Op, Vertex, VertexReporter } from '../solver/op.ts';
import { sourceProgress } from '../source/source-progress.ts';
import { runBuildOp } from './build-op.ts';
import { contentKey } from './content-key.ts';
import { checkEntitlements } from './entitlements.ts';
import { execKey } from './exec-key.ts';
import { fileKey } from './file-key.ts';
import { runDiffOp, runMergeOp, runPassthroughOp } from './merge-diff.ts';
import { buildKey, diffKey, mergeKey, passthroughKey } from './merge-diff-build-key.ts';
import type { OpContext } from './op-context.ts';
import { type InputKey, InvalidOpError, type OpKey } from './op-key.ts';
import type { Ref } from './ref.ts';

/** A vertex with the op that it stands for. */
export interface OpVertex extends Vertex {
  readonly op: OpMessage;
  readonly metadata?: OpMetadata | undefined;
}

/**
 * The op of a vertex. Throws {@link InvalidOpError} for one that cannot be keyed, and `EntitlementError` for one that asks
 * for what was not allowed.
 */
export function createOp(vertex: OpVertex, context: OpContext): Op<Ref> {
  const { op } = vertex.op;
  const inputs = vertex.inputs.length;
  const { layers } = context;
  switch (op.case) {
    case 'source': {
      const { identifier, attrs } = op.value;
      return context.sources.open({ vertex, identifier, attrs, platform: platformOf(vertex.op, context) });
    }
    case 'exec': {
      checkEntitlements(op.value, context.entitlements);
      const platform = platformOf(vertex.op, context);
      const resources: LinuxResources | undefined = vertex.metadata?.linuxResources;
      return keyed(execKey(op.value, inputs, platform), context, async (refs, signal) => {
        const { runExecOp } = await import('./exec/exec-op.ts');
        return runExecOp({ op: op.value, platform, resources, vertex: vertex.digest }, refs, context, signal);
      });
    }
    case 'file':
      return keyed(fileKey(op.value, inputs), context, async (refs, signal) => {
        const { runFileOp } = await import('./file/file-op.ts');
        return runFileOp(op.value, refs, context, signal);
      });
    case 'merge':
      return light(mergeKey(op.value), context, (refs, signal) => runMergeOp(op.value, refs, layers, signal));
    case 'diff':
      return light(diffKey(op.value), context, (refs, signal) => runDiffOp(op.value, refs, layers, signal));
    case 'build':
      return light(buildKey(op.value, inputs), context, (refs, signal) => runBuildOp(op.value, refs, context, signal));
    case 'passthrough':
      return light(passthroughKey(op.value, inputs), context, async refs => runPassthroughOp(op.value, refs));
    default:
      throw new InvalidOpError('invalid op with no operation');
  }
}

type Run = Op<Ref>['exec'];

function keyed(key: OpKey, context: OpContext, exec: Run): Op<Ref> {
  const map = cacheMap(key, context);
  return { cacheMap: async () => ({ map, done: true }), exec };
}

/** An op that takes none of the parallelism limit. */
function light(key: OpKey, context: OpContext, exec: Run): Op<Ref> {
  return { ...keyed(key, context, exec), weight: 0 };
}

function cacheMap({ digest, parts, deps }: OpKey, context: OpContext): CacheMap<Ref> {
  return { digest, parts, deps: deps.map((dep, index) => cacheDep(dep, index, context)) };
}

function cacheDep(
  { selector, selectorPaths, content, unlazy }: InputKey,
  index: number,
  context: OpContext,
): CacheDep<Ref> {
  const { layers } = context;
  return {
    ...(selector !== '' && {
      selector,
      selectorParts: selectorPaths.map(path => ({ kind: 'selector', name: path, value: '' })),
    }),
    ...(content && { contentDigest: (ref, signal) => contentKey({ ref, index }, content, layers, signal) }),
    ...(unlazy && { preprocess: (ref, signal, reporter) => unpack(ref, context, signal, reporter) }),
  };
}

/** Brings an input's files onto the disk; where there is something to do, the vertex of the input shows it. */
async function unpack(
  ref: Ref,
  { layers, now }: OpContext,
  signal: AbortSignal,
  reporter: VertexReporter,
): Promise<void> {
  if (ref.kind === 'local' || ref.layers.every(layer => layers.get(layer)?.isUnpacked === true)) return;
  const progress = sourceProgress(reporter.vertex, reporter.emit, now);
  await reporter.during(() =>
    layers.unlazy(ref.layers, signal, ({ digest }, work) => progress.step(`extracting ${digest}`, work)),
  );
}

/** The platform that an op is for, the machine's if it does not say. */
function platformOf({ platform }: OpMessage, context: OpContext): Platform {
  if (!platform) return context.platform;
  const { OS, Architecture, Variant, OSVersion, OSFeatures } = platform;
  return normalizePlatform({
    os: OS,
    architecture: Architecture,
    ...(Variant !== '' && { variant: Variant }),
    ...(OSVersion !== '' && { 'os.version': OSVersion }),
    ...(OSFeatures.length > 0 && { 'os.features': OSFeatures }),
  });
}
