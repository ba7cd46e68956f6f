import { cleanPath } from '../../wire/fsutil/go-path.ts';
import { DockerfileError } from '../dockerfile/error.ts';
import type { AddInstruction, CopyInstruction, FileArguments } from '../dockerfile/instruction.ts';
import { lintIgnoredSource } from '../dockerfile/lint/plan-rules.ts';
import { type Copy, type FileAction, fileVertex } from '../llb/file.ts';
import { mergeEdges } from '../llb/merge.ts';
import type { Edge, VertexOptions } from '../llb/vertex.ts';
import { parseChmod } from './chmod.ts';
import { addHistory } from './history.ts';
import { displayText, type InstructionScope } from './instruction-scope.ts';
import { inlineFile } from './plan-run.ts';
import { type RemoteAdd, remoteSource } from './remote-add.ts';
import { locationOf } from './stage.ts';
import { currentStepName, nextStepName } from './step-name.ts';
import { joinPath, toSlash, within, withoutDrive } from './system-path.ts';

/** COPY. @throws DockerfileError, ExpansionError, SystemPathError, ChmodError */
export function planCopy(scope: InstructionScope, copy: CopyInstruction): void {
  const { context, stage, command } = scope;
  const [source] = command.sources;
  if (source !== undefined && !source.isPlanned) {
    throw new DockerfileError(
      `cannot copy from stage "${copy.from}", it needs to be defined before current stage "${stage.shownName}"`,
      [],
    );
  }
  const files = expandFiles(scope, copy);
  const from = source === undefined ? context.contextEdge : source.edge;
  planFiles(scope, files, from, { keyword: 'COPY', parents: copy.parents, unpack: undefined, remote: undefined });
  const used = source === undefined ? stage.contextPaths : source.usedPaths;
  for (const path of files.sources) used.add(cleanPath(`/${path}`));
}

/** ADD. @throws DockerfileError, ExpansionError, SystemPathError, ChmodError, GitUrlError */
export function planAdd(scope: InstructionScope, add: AddInstruction): void {
  const { context, stage } = scope;
  const files = expandFiles(scope, add);
  const remote = { checksum: scope.word(add.checksum), keepGitDir: add.keepGitDir };
  planFiles(scope, files, context.contextEdge, { keyword: 'ADD', parents: false, unpack: add.unpack, remote });
  for (const path of files.sources) {
    if (!/^https?:\/\//.test(path)) stage.contextPaths.add(cleanPath(`/${path}`));
  }
}

function expandFiles(scope: InstructionScope, files: FileArguments): FileArguments {
  return {
    chown: scope.word(files.chown),
    chmod: scope.word(files.chmod),
    sources: files.sources.map(path => scope.word(path)),
    destination: scope.word(files.destination),
    contents: files.contents.map(file => (file.expand ? { ...file, data: scope.document(file.data) } : file)),
    link: files.link,
    exclude: files.exclude,
  };
}

interface FileKind {
  readonly keyword: 'ADD' | 'COPY';
  readonly parents: boolean;
  readonly unpack: boolean | undefined;
  /** How what is not a path is fetched; COPY cannot. */
  readonly remote: RemoteAdd | undefined;
}

function planFiles(scope: InstructionScope, files: FileArguments, from: Edge | undefined, kind: FileKind): void {
  const { context, stage, command } = scope;
  const { instruction, isTrigger } = command;
  const platform = stage.platform ?? context.targetPlatform;
  const dest = destinationOf(stage.dir, files.destination, platform.os);
  const mode = files.chmod === '' ? undefined : parseChmod(files.chmod);
  if (kind.remote !== undefined && kind.remote.checksum !== '' && files.sources.length !== 1) {
    throw new DockerfileError("checksum can't be specified for multiple sources", []);
  }
  const shown = displayText(scope);
  const name = nextStepName(context.options, stage, shown, platform, stage.env, isTrigger);
  const common = {
    dest,
    createDestPath: true,
    ...(files.chown === '' ? {} : { owner: files.chown }),
    ...(files.exclude.length === 0 ? {} : { excludePatterns: files.exclude }),
    ...(mode === undefined ? {} : { mode }),
  };
  const actions: FileAction[] = [
    ...files.sources.map(source => ({ ...common, ...copyOf(scope, source, from, kind, name) })),
    ...files.contents.map(({ path, data }): Copy => {
      const file = within(() => withoutDrive(path, platform.os, false));
      return { ...common, kind: 'copy', from: inlineFile(file, data, 0o644), src: toSlash(file, platform.os) };
    }),
  ];
  const options: VertexOptions = {
    name,
    ignoreCache: stage.ignoreCache,
    locations: [locationOf(context.source.dockerfile, instruction.lines)],
  };
  // A mode would have to be set on what is below, too.
  if (files.link && files.chmod === '' && context.host.supports('mergeop')) {
    const id = context.host.newID();
    const copied = fileVertex({ base: undefined, actions }, { ...options, progressGroup: { id, name, weak: true } });
    stage.edge = mergeEdges([stage.edge, copied], {
      ...options,
      name: currentStepName(context.options, stage, `LINK ${shown}`, platform, stage.env, isTrigger),
      progressGroup: { id, name },
    });
    scope.addStep(copied.vertex);
    if (stage.edge !== undefined && stage.edge !== copied) scope.addStep(stage.edge.vertex);
  } else {
    stage.edge = fileVertex({ base: stage.edge, actions }, options);
    scope.addStep(stage.edge.vertex);
  }
  addHistory(context, stage, historyOf(files, kind), 'a layer');
}

function historyOf(files: FileArguments, { keyword, parents }: FileKind): string {
  return [
    keyword,
    ...(parents ? ['--parents'] : []),
    ...(files.chown === '' ? [] : [`--chown=${files.chown}`]),
    ...(files.chmod === '' ? [] : [`--chmod=${files.chmod}`]),
    ...files.sources,
    ...files.contents.map(({ path }) => `<<${path}`),
    files.destination,
    '# buildkit',
  ].join(' ');
}

function destinationOf(dir: string, written: string, os: string): string {
  const path = within(() => withoutDrive(written, os, true));
  return joinPath(dir, path === '.' || path === '' ? './' : path, os, true);
}

type CopySource = Omit<Copy, 'dest'>;

function copyOf(
  scope: InstructionScope,
  source: string,
  from: Edge | undefined,
  kind: FileKind,
  name: string,
): CopySource {
  const remote = remoteSource(source, kind.remote, name);
  if (remote !== undefined) {
    const unpack = remote.isDownload && kind.unpack === true;
    return { kind: 'copy', from: remote.edge, src: remote.path, ...(unpack ? { attemptUnpack: true } : {}) };
  }
  const { context, stage, command, linter } = scope;
  const { os } = stage.platform ?? context.targetPlatform;
  if (command.sources.length === 0) {
    const { lines } = command.instruction;
    lintIgnoredSource(linter, { kind: kind.keyword, lines }, source, context.ignoreMatcher);
  }
  const { src, includePatterns, requiredPaths } = kind.parents ? splitAtPivot(source, os) : { src: source };
  return {
    kind: 'copy',
    from,
    src: within(() => joinPath('/', src, os, false)),
    followSymlink: true,
    dirCopyContents: true,
    allowWildcard: true,
    allowEmptyWildcard: true,
    attemptUnpack: kind.unpack ?? kind.keyword === 'ADD',
    ...(includePatterns === undefined ? {} : { includePatterns }),
    ...(requiredPaths === undefined ? {} : { requiredPaths }),
  };
}

/** `--parents`: what stands before `/./` is where the copy begins, the rest is kept below the destination. */
function splitAtPivot(source: string, os: string) {
  const pivot = source.indexOf('/./');
  const above = pivot < 0 ? '/' : source.slice(0, pivot);
  const below = within(() => joinPath('/', pivot < 0 ? source : source.slice(pivot + '/./'.length), os, false));
  const isPlain = !hasWildcard(above) && !hasWildcard(below);
  return {
    src: above,
    includePatterns: [below.replace(/^\//, '')],
    ...(isPlain ? { requiredPaths: [within(() => joinPath('/', cleanPath(`${above}/${below}`), os, false))] } : {}),
  };
}

function hasWildcard(text: string): boolean {
  return /^(?:[^\\*?[]|\\.)*[*?[]/s.test(text);
}
