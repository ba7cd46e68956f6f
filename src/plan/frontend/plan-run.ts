import { cleanPath, trimGoSpace } from '../../wire/fsutil/go-path.ts';
import { DockerfileError } from '../dockerfile/error.ts';
import { ExpansionError, expandForDisplay, type Variables } from '../dockerfile/expand.ts';
import { chompHeredoc, parseHeredocWord } from '../dockerfile/heredoc.ts';
import type { RunFile, RunInstruction } from '../dockerfile/instruction.ts';
import { type Mount as MountFlag, readMounts } from '../dockerfile/mount.ts';
import { execVertex, type Mount, type Secret, type Ssh } from '../llb/exec.ts';
import { fileVertex } from '../llb/file.ts';
import type { Edge } from '../llb/vertex.ts';
import { addHistory } from './history.ts';
import type { InstructionScope } from './instruction-scope.ts';
import { withShell } from './plan-config.ts';
import { COMMAND_KEY } from './resolve-bases.ts';
import { locationOf, type StageState } from './stage.ts';
import type { RequirementNote } from './stage-outline.ts';
import { nextStepName, upperCaseKeyword } from './step-name.ts';
import { isAbsolute } from './system-path.ts';

const DOCUMENTS = '/dev/pipes/';

/** RUN. @throws DockerfileError, ExpansionError */
export function planRun(scope: InstructionScope, run: RunInstruction): void {
  const { context, stage, command } = scope;
  const { options } = context;
  if (run.devices.length > 0 && !context.labs) {
    throw new DockerfileError('device feature is only supported in Dockerfile frontend 1.14.0-labs or later', []);
  }
  const flags = readMounts(run, word => scope.word(word));
  const { args, document, shown } = commandOf(stage, run);
  // A process may read anything.
  stage.usedPaths.add('/');
  const mounts = planMounts(scope, flags);
  const name = nextStepName(
    options,
    stage,
    displayRun(scope, shown, flags),
    stage.filesPlatform,
    stage.env,
    command.isTrigger,
  );
  const { vertex, root } = execVertex(
    {
      args,
      root: stage.edge,
      env: envOf(stage),
      cwd: stage.dir,
      user: stage.user,
      hostname: options.hostname,
      extraHosts: options.extraHosts,
      ulimits: options.ulimits,
      cgroupParent: options.cgroupParent,
      network: run.network === 'default' ? options.network : run.network,
      security: run.security,
      devices: run.devices.map(({ name, required }) => ({ name, optional: !required })),
      mounts: [
        ...(document === undefined ? [] : [document]),
        ...mounts.mounts,
        ...(options.shmSize > 0n ? [{ dest: '/dev/shm', tmpfs: { size: options.shmSize } }] : []),
      ],
      secrets: mounts.secrets,
      ssh: mounts.ssh,
      ...(context.proxy === undefined ? {} : { proxy: context.proxy }),
      ...(stage.filesPlatform === undefined ? {} : { basePlatform: stage.filesPlatform }),
    },
    {
      name,
      description: { [COMMAND_KEY]: run.source },
      ignoreCache: stage.ignoreCache,
      locations: [locationOf(context.source.dockerfile, run.lines)],
      ...(options.resources === undefined ? {} : { linuxResources: options.resources }),
    },
  );
  addHistory(context, stage, `RUN ${withArguments(stage, args)} # buildkit`, 'a layer');
  stage.edge = root;
  scope.addStep(vertex);
}

interface RunCommand {
  readonly args: readonly string[];
  /** A script to mount. */
  readonly document?: Mount;
  /** The instruction as its name shows it. */
  readonly shown: string;
}

function commandOf(stage: StageState, run: RunInstruction): RunCommand {
  const [file] = run.files;
  const shell = (text: string) => (run.shellForm ? withShell(stage, text) : run.args);
  if (file === undefined) return { args: shell(run.args.join(' ')), shown: run.source };
  const [line = ''] = run.args;
  if (!run.shellForm || run.args.length !== 1) {
    throw new DockerfileError(`parsing produced an invalid run command: [${run.args.join(' ')}]`, []);
  }
  if (parseHeredocWord(line) === undefined) {
    const documents = run.files.map(({ name, data }) => `\n${data}${name}`);
    return { args: shell(line + documents.join('')), shown: run.source };
  }
  const shown = `${run.source} (${summarize(file.data)})`;
  const data = file.chomp ? chompHeredoc(file.data) : file.data;
  if (stage.image.os === 'windows' || !data.startsWith('#!')) return { args: shell(data), shown };
  const script = cleanPath(DOCUMENTS + file.name);
  return { args: shell(script), document: scriptMount(file, data), shown };
}

/** A document with a `#!` line is run as a file. */
function scriptMount({ name }: RunFile, data: string): Mount {
  return { dest: DOCUMENTS, source: inlineFile(name, data, 0o755), selector: '/', readonly: true };
}

/** A file of a tree of its own whose content stands in the Dockerfile. */
export function inlineFile(name: string, data: string, mode: number): Edge {
  return fileVertex(
    { base: undefined, actions: [{ kind: 'mkfile', path: name, mode, data: new TextEncoder().encode(data) }] },
    { name: '[internal] preparing inline document' },
  );
}

function summarize(document: string): string {
  const [first = '', ...rest] = trimGoSpace(document).replaceAll('\r\n', '\n').split('\n');
  return rest.length === 0 ? first : `${first}...`;
}

/** What a step shows: quotes stay, unset variables stay, secrets are hidden. */
function displayRun({ context, stage }: InstructionScope, text: string, flags: readonly MountFlag[]): string {
  const secrets = new Set(flags.flatMap(({ type, env }) => (type === 'secret' && env !== undefined ? [env] : [])));
  const variables: Variables = { get: name => (secrets.has(name) ? '****' : stage.env.get(name)) };
  try {
    return upperCaseKeyword(expandForDisplay(text, variables, { escape: context.escapeChar }).text);
  } catch (error) {
    if (error instanceof ExpansionError) return upperCaseKeyword(text);
    throw error;
  }
}

function envOf(stage: StageState): string[] {
  return Array.from(stage.env, ([key, value]) => `${key}=${value}`);
}

/** The command as history shows it: behind the declared arguments, each once. */
function withArguments(stage: StageState, args: readonly string[]): string {
  const values = new Map<string, string>();
  for (const { key, value } of stage.args) values.set(key, stage.env.get(key) ?? value ?? '');
  if (values.size === 0) return args.join(' ');
  return [`|${values.size}`, ...Array.from(values, ([key, value]) => `${key}=${value}`), ...args].join(' ');
}

interface PlannedMounts {
  readonly mounts: Mount[];
  readonly secrets: Secret[];
  readonly ssh: Ssh[];
}

function planMounts(scope: InstructionScope, flags: readonly MountFlag[]): PlannedMounts {
  const { outline } = scope.stage;
  const { lines } = scope.command.instruction;
  const planned: PlannedMounts = { mounts: [], secrets: [], ssh: [] };
  flags.forEach((flag, i) => {
    const source = scope.command.sources[i];
    if (source !== undefined && flag.from !== '' && !source.isPlanned) {
      throw new DockerfileError(
        `cannot mount from stage "${flag.from}" to "${flag.target}", stage needs to be defined before current command`,
        [],
      );
    }
    if (flag.type === 'secret') {
      const secret = secretOf(flag);
      planned.secrets.push(secret);
      noteFirst(outline.secrets, secret.id, flag.required, lines);
    } else if (flag.type === 'ssh') {
      planned.ssh.push(sshOf(flag));
      noteFirst(outline.ssh, flag.id || 'default', flag.required, lines);
    } else planned.mounts.push(planMount(scope, flag, source));
  });
  return planned;
}

function noteFirst(
  notes: Map<string, RequirementNote>,
  id: string,
  required: boolean,
  lines: RequirementNote['lines'],
): void {
  if (!notes.has(id)) notes.set(id, { required, lines });
}

function planMount(scope: InstructionScope, flag: MountFlag, source: StageState | undefined): Mount {
  const { context, stage } = scope;
  const fromContext = flag.from === '' && flag.type !== 'cache';
  const files = flag.type === 'tmpfs' ? undefined : fromContext ? context.contextEdge : source?.edge;
  const dest = isAbsolute(cleanPath(flag.target), 'linux') ? flag.target : cleanPath(`/${stage.dir}/${flag.target}`);
  if (dest === '/') throw new DockerfileError(`invalid mount target "${dest}"`, []);
  const path = cleanPath(`/${flag.source}`);
  if (fromContext) stage.contextPaths.add(path);
  else source?.usedPaths.add(path);
  return {
    dest,
    ...placeOf(files, flag, path),
    readonly: flag.readOnly,
    ...(!flag.readOnly && flag.type === 'bind' ? { noOutput: true } : {}),
    ...(flag.type === 'tmpfs' ? { tmpfs: { size: BigInt(flag.size) } } : {}),
    ...(flag.type === 'cache' ? { cache: cacheOf(context.options.cacheNamespace, flag) } : {}),
  };
}

/** The path of the source that is mounted; a cache that begins with an owner or a mode gets a directory made for it. */
function placeOf(files: Edge | undefined, flag: MountFlag, path: string): Pick<Mount, 'source' | 'selector'> {
  if (path !== '/') return { source: files, selector: path };
  if (flag.uid === undefined && flag.gid === undefined && flag.mode === undefined) return { source: files };
  const { uid = 0, gid = 0, mode = 0o755 } = flag;
  const source = fileVertex(
    { base: files, actions: [{ kind: 'mkdir', path: '/cache', mode, owner: `${uid}:${gid}` }] },
    { name: '[internal] setting cache mount permissions' },
  );
  return { source, selector: '/cache' };
}

function cacheOf(namespace: string, { id, target, sharing }: MountFlag): NonNullable<Mount['cache']> {
  return { id: `${namespace}/${id || cleanPath(target)}`, sharing: sharing || 'shared' };
}

function secretOf(flag: MountFlag): Secret {
  const { source, target, env, uid = 0, gid = 0, mode = 0o400, required } = flag;
  const id = source || flag.id || baseName(target);
  const dest = target || (env === undefined ? `/run/secrets/${baseName(id)}` : undefined);
  return {
    id,
    uid,
    gid,
    mode,
    optional: !required,
    ...(dest === undefined ? {} : { dest }),
    ...(env === undefined ? {} : { env }),
  };
}

function sshOf({ source, id, target, uid = 0, gid = 0, mode = 0o600, required }: MountFlag): Ssh {
  if (source !== '') throw new DockerfileError('ssh does not support source', []);
  return { id, uid, gid, mode, optional: !required, ...(target === '' ? {} : { dest: target }) };
}

function baseName(path: string): string {
  const trimmed = path.replace(/\/+$/, '');
  return trimmed === '' ? (path === '' ? '.' : '/') : trimmed.slice(trimmed.lastIndexOf('/') + 1);
}
