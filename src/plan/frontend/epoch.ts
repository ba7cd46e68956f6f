import { fromBinary } from '@bufbuild/protobuf';
import { OpSchema, type SourceOp } from '../../wire/proto/gen/pb/ops_pb.ts';
import { DockerfileError, withLocation } from '../dockerfile/error.ts';
import { expandWord } from '../dockerfile/expand.ts';
import type { Stage, StagedFile } from '../dockerfile/instruction.ts';
import { marshalGraph } from '../llb/definition.ts';
import type { Edge } from '../llb/vertex.ts';
import type { BuildContext } from './build-context.ts';
import type { FrontendHost } from './host.ts';
import { findNamedContext, loadNamedContext } from './named-context.ts';
import type { FrontendOptions } from './options.ts';
import { remoteSource } from './remote-add.ts';

/** Name of the argument that dates what is built. */
const ARGUMENT = 'SOURCE_DATE_EPOCH';
/** From the year 0 to the year 9999. */
const [EARLIEST, LATEST] = [-62_167_219_200, 253_402_300_799];

interface EpochScope {
  readonly host: FrontendHost;
  readonly options: FrontendOptions;
  readonly source: BuildContext;
  readonly file: StagedFile;
  readonly escapeChar: string;
  readonly buildArgs: Map<string, string>;
  readonly globalArgs: Map<string, string>;
  readonly signal: AbortSignal;
}

/**
 * The time that things are dated with, in seconds since 1970. Where the argument names a source instead of a time, the
 * source's time takes its place, or it is as if the argument was not given. Throws DockerfileError.
 */
export async function resolveEpoch(scope: EpochScope): Promise<number | undefined> {
  const { buildArgs, globalArgs } = scope;
  const value = buildArgs.get(ARGUMENT) ?? globalArgs.get(ARGUMENT) ?? '';
  if (value === '' && !buildArgs.has(ARGUMENT)) return undefined;
  const epoch = value === '' ? undefined : await epochOf(scope, value);
  for (const args of [buildArgs, globalArgs]) {
    if (!args.has(ARGUMENT)) continue;
    if (epoch === undefined) args.delete(ARGUMENT);
    else args.set(ARGUMENT, String(epoch));
  }
  return epoch;
}

async function epochOf(scope: EpochScope, value: string): Promise<number | undefined> {
  if (/^[+-]?\d+$/.test(value)) {
    const epoch = Number(value);
    if (epoch < EARLIEST || epoch > LATEST) throw new DockerfileError(`invalid ${ARGUMENT}: ${value}`, []);
    return epoch;
  }
  const { host, signal } = scope;
  const { edge, logName } = await sourceOf(scope, value);
  const op = edge === undefined ? undefined : onlySource(host, edge);
  if (op === undefined || !/^(?:git|https?):\/\//.test(op.identifier)) return undefined;
  const { changed, newestFile } = await host.resolveSourceTime(
    { identifier: op.identifier, attrs: op.attrs, logName },
    signal,
  );
  return changed ?? newestFile?.(signal);
}

async function sourceOf(scope: EpochScope, value: string): Promise<{ edge: Edge | undefined; logName: string }> {
  const { host, options, source, file, signal } = scope;
  if (value === 'context') {
    return { edge: source.remote, logName: '[internal] resolve main build context metadata' };
  }
  const named = findNamedContext(host, options, value, undefined, () => []);
  if (named !== undefined) {
    const { edge } = await loadNamedContext(host, options, named, signal);
    return { edge, logName: `[internal] resolve ${ARGUMENT} named context ${value}` };
  }
  const stage = file.stages.find(({ name }) => name !== '' && name === value.toLowerCase());
  if (stage === undefined) throw new DockerfileError(`invalid ${ARGUMENT}: ${value}`, []);
  try {
    const edge = sourceStage(scope, stage);
    return { edge, logName: `[internal] resolve ${ARGUMENT} source stage ${stage.name}` };
  } catch (error) {
    throw withLocation(error, stage.lines);
  }
}

/** What a stage adds that does nothing but add one remote source to scratch. */
function sourceStage({ buildArgs, globalArgs, escapeChar }: EpochScope, stage: Stage): Edge {
  const args = new Map(globalArgs);
  args.delete(ARGUMENT);
  const expand = (word: string) => expandWord(word, args, { escape: escapeChar }).text;
  if (expand(stage.base) !== 'scratch') throw stageError('must use FROM scratch');
  let edge: Edge | undefined;
  for (const instruction of stage.instructions) {
    if (instruction.kind === 'ARG') {
      for (const { key, value } of instruction.args) {
        const given = buildArgs.get(key) ?? (value === undefined ? undefined : expand(value));
        if (given !== undefined) args.set(key, given);
      }
    } else if (instruction.kind === 'ADD') {
      if (edge !== undefined) throw stageError('must contain exactly one remote ADD');
      const [path, ...others] = instruction.sources;
      if (path === undefined || others.length > 0 || instruction.contents.length > 0) {
        throw stageError('must contain exactly one remote ADD source');
      }
      const add = { checksum: expand(instruction.checksum), keepGitDir: instruction.keepGitDir };
      edge = remoteSource(expand(path), add, '')?.edge;
      if (edge === undefined) throw stageError('source must be a single HTTP(S) or Git ADD');
    } else {
      throw stageError(`does not meet source-only requirements: unsupported ${instruction.keyword} instruction`);
    }
  }
  if (edge === undefined) throw stageError('must contain exactly one remote ADD');
  return edge;
}

function stageError(what: string): DockerfileError {
  return new DockerfileError(`${ARGUMENT} stage ${what}`, []);
}

/** The source that a graph stands on, if there is one only. */
function onlySource(host: FrontendHost, edge: Edge): SourceOp | undefined {
  const { definition } = marshalGraph(edge, { platform: host.buildPlatforms[0] });
  const sources = definition.def.flatMap(raw => {
    const { op } = fromBinary(OpSchema, raw);
    return op.case === 'source' ? [op.value] : [];
  });
  return sources.length === 1 ? sources[0] : undefined;
}
