/**
 * What an instruction means in the legacy builder's model: the config that it leads to, and the config that its look-up in
 * the cache asks for. Pure; only what COPY and ADD take has to be read before their look-up can be told.
 */
import { expandWord, expandWords } from '../../plan/dockerfile/expand.ts';
import { goQuote } from '../../plan/dockerfile/go-text.ts';
import type { Command, HealthCheck, Instruction, KeyValue } from '../../plan/dockerfile/instruction.ts';
import { parseExposedPort } from '../../plan/frontend/expose.ts';
import { formatDuration } from '../../plan/frontend/history.ts';
import { checkStopSignal } from '../../plan/frontend/stop-signal.ts';
import { cleanPath } from '../../wire/fsutil/go-path.ts';
import type { Healthcheck } from '../../wire/oci/image-config.ts';
import type { StageArgs } from './build-args.ts';
import { type ContainerConfig, shellOf, variablesOf } from './container-config.ts';
import { LegacyBuildError } from './error.ts';
import { copyComment, withComment, withJoinedComment, withRunCommand } from './key.ts';

/** Where a stage has come to. */
export interface StageState {
  readonly config: ContainerConfig;
  readonly maintainer: string;
  /** Whether CMD was set in this stage: ENTRYPOINT clears an inherited one. */
  readonly hasCmd: boolean;
}

/** An instruction that changes the config only. */
interface MetadataStep {
  readonly kind: 'metadata';
  readonly wanted: ContainerConfig;
  readonly state: StageState;
  /** A line to print before. */
  readonly note?: string;
}

/** WORKDIR: its directory is made. */
interface WorkdirStep {
  readonly kind: 'workdir';
  readonly wanted: ContainerConfig;
  readonly state: StageState;
}

interface RunStep {
  readonly kind: 'run';
  readonly wanted: ContainerConfig;
  readonly state: StageState;
  readonly command: readonly string[];
  /** The environment of the process, but for what the container adds. */
  readonly env: readonly string[];
}

/** COPY and ADD, their words expanded. */
export interface FilesStep {
  readonly kind: 'files';
  readonly keyword: 'ADD' | 'COPY';
  /** A stage, its number, or an image; empty for the build context. */
  readonly from: string;
  readonly sources: readonly string[];
  readonly destination: string;
  readonly chown: string;
  readonly state: StageState;
  /** The config to look up, once the hash of the sources is known. */
  readonly wanted: (hash: string) => ContainerConfig;
}

export type LegacyStep = MetadataStep | WorkdirStep | RunStep | FilesStep;

/** Plans a step. ARG is declared in `args`. @throws LegacyBuildError, ExpansionError and the errors of ports and signals */
export function planStep(instruction: Instruction, state: StageState, args: StageArgs, escapeChar: string): LegacyStep {
  const { config } = state;
  const variables = variablesOf(config);
  const scope = new Map([...variables, ...args.values(variables)]);
  const word = (text: string) => expandWord(text, scope, { escape: escapeChar }).text;
  const metadata = (text: string, changes: Partial<ContainerConfig>, more: Partial<StageState> = {}): MetadataStep => {
    const next = { ...config, ...changes };
    return { kind: 'metadata', wanted: withComment(next, text), state: { ...state, ...more, config: next } };
  };
  switch (instruction.kind) {
    case 'ADD':
    case 'COPY': {
      if (instruction.chmod !== '') throw needsBuildKit('chmod');
      const destination = word(instruction.destination);
      const chown = word(instruction.chown);
      const { kind: keyword } = instruction;
      return {
        kind: 'files',
        keyword,
        from: instruction.kind === 'COPY' ? instruction.from : '',
        sources: instruction.sources.map(word),
        destination,
        chown,
        state,
        wanted: hash => withJoinedComment(config, copyComment(keyword, hash, destination, chown)),
      };
    }
    case 'ARG': {
      const definitions = instruction.args.map(({ key, value }) => ({
        key: word(key),
        value: value === undefined ? undefined : word(value),
      }));
      for (const { key, value } of definitions) args.declare(key, value);
      const texts = definitions.map(({ key, value }) => (value === undefined ? key : `${key}=${value}`));
      return metadata(`ARG ${texts.join(' ')}`, {});
    }
    case 'CMD': {
      const cmd = commandLine(instruction, config);
      const hasCmd = state.hasCmd || instruction.args.length > 0;
      return metadata(`CMD ${quoted(cmd)}`, { cmd, argsEscaped: false }, { hasCmd });
    }
    case 'ENTRYPOINT': {
      const entrypoint = commandLine(instruction, config);
      const changes = state.hasCmd ? { entrypoint } : { entrypoint, cmd: undefined };
      return metadata(`ENTRYPOINT ${quoted(entrypoint)}`, changes);
    }
    case 'ENV': {
      const pairs = expandPairs(instruction.pairs, word);
      const env = [...config.env];
      for (const { key, text } of pairs) {
        const known = env.findIndex(entry => entry.split('=', 1)[0] === key);
        if (known < 0) env.push(text);
        else env[known] = text;
      }
      return metadata(`ENV ${pairs.map(({ text }) => text).join(' ')}`, { env });
    }
    case 'EXPOSE': {
      const ports = instruction.ports.flatMap(port => expandWords(port, scope, { escape: escapeChar }).words);
      const opened = ports.flatMap(port => parseExposedPort(port).ports);
      return metadata(`EXPOSE ${ports.join(' ')}`, { exposedPorts: union(config.exposedPorts, opened) });
    }
    case 'HEALTHCHECK':
      return healthcheckStep(config.healthcheck, instruction, metadata);
    case 'LABEL': {
      const pairs = expandPairs(instruction.pairs, word);
      const labels = new Map([...config.labels, ...pairs.map(({ key, value }) => [key, value] as const)]);
      return metadata(`LABEL ${pairs.map(({ text }) => text).join(' ')}`, { labels });
    }
    case 'MAINTAINER':
      return metadata(`MAINTAINER ${instruction.maintainer}`, {}, { maintainer: instruction.maintainer });
    case 'ONBUILD':
      return metadata(`ONBUILD ${instruction.expression}`, { onBuild: [...config.onBuild, instruction.expression] });
    case 'RUN': {
      if (instruction.mounts.length > 0) throw needsBuildKit('mount');
      const command = commandLine(instruction, config);
      const values = args.values(variables);
      return {
        kind: 'run',
        wanted: withRunCommand(config, command, values, args.isListed),
        state,
        command,
        env: [...config.env, ...[...values].map(([name, value]) => `${name}=${value}`)],
      };
    }
    case 'SHELL':
      return metadata(`SHELL [${instruction.shell.join(' ')}]`, { shell: instruction.shell });
    case 'STOPSIGNAL': {
      const stopSignal = word(instruction.signal);
      checkStopSignal(stopSignal);
      return metadata(`STOPSIGNAL ${stopSignal}`, { stopSignal });
    }
    case 'USER': {
      const user = word(instruction.user);
      return metadata(`USER ${user}`, { user });
    }
    case 'VOLUME': {
      const volumes = instruction.volumes.map(word);
      if (volumes.includes('')) throw new LegacyBuildError('VOLUME specified can not be an empty string');
      return metadata(`VOLUME [${volumes.join(' ')}]`, { volumes: union(config.volumes, volumes) });
    }
    case 'WORKDIR': {
      const workingDir = workdirOf(config.workingDir, word(instruction.path));
      const next = { ...config, workingDir };
      const wanted = withJoinedComment(next, `WORKDIR ${workingDir}`);
      return { kind: 'workdir', wanted, state: { ...state, config: next } };
    }
  }
}

/** The step that `--label` adds at the end. */
export function planLabel(key: string, value: string, state: StageState): LegacyStep {
  const config = { ...state.config, labels: new Map([...state.config.labels, [key, value]]) };
  return { kind: 'metadata', wanted: withComment(config, `LABEL ${key}=${value}`), state: { ...state, config } };
}

function needsBuildKit(option: string): LegacyBuildError {
  return new LegacyBuildError(
    `the --${option} option requires BuildKit. Refer to https://docs.docker.com/go/buildkit/ to learn how to build images with BuildKit enabled`,
  );
}

function healthcheckStep(
  previous: Healthcheck | undefined,
  instruction: HealthCheck,
  metadata: (text: string, changes: Partial<ContainerConfig>) => MetadataStep,
): LegacyStep {
  const { test, interval, timeout, startPeriod, retries } = instruction;
  const healthcheck: Healthcheck = {
    Test: test,
    ...(interval === 0 ? {} : { Interval: interval }),
    ...(timeout === 0 ? {} : { Timeout: timeout }),
    ...(startPeriod === 0 ? {} : { StartPeriod: startPeriod }),
    ...(retries === 0 ? {} : { Retries: retries }),
  };
  const times = [interval, timeout, startPeriod].map(time => `"${formatDuration(time)}"`).join(' ');
  const step = metadata(`HEALTHCHECK &{${quoted(test)} ${times} ${quotedRune(retries)}}`, { healthcheck });
  const old = previous?.Test ?? [];
  if (old.length === 0 || old[0] === 'NONE') return step;
  return { ...step, note: `Note: overriding previous HEALTHCHECK: [${old.join(' ')}]` };
}

/** A number as Go's `%q` shows it: the character of that code. */
function quotedRune(code: number): string {
  if (code === 0x27) return "'\\''";
  if (code === 0x22) return `'"'`;
  return `'${goQuote(String.fromCodePoint(code)).slice(1, -1)}'`;
}

function commandLine({ args, shellForm }: Command, config: ContainerConfig): readonly string[] {
  return shellForm && args.length > 0 ? [...shellOf(config), ...args] : args;
}

/** A list as Go's `%q` shows it. */
function quoted(words: readonly string[]): string {
  return `[${words.map(goQuote).join(' ')}]`;
}

function expandPairs(pairs: readonly KeyValue[], word: (text: string) => string) {
  return pairs.map(pair => {
    const [key, value] = [word(pair.key), word(pair.value)];
    return { key, value, text: `${key}=${value}` };
  });
}

function union(known: readonly string[], added: readonly string[]): readonly string[] {
  return [...new Set([...known, ...added])];
}

/** An absolute path is kept as written; another starts at the directory that is set. */
function workdirOf(current: string, path: string): string {
  if (path === '') throw new LegacyBuildError('cannot normalize nothing');
  return path.startsWith('/') ? path : cleanPath(`/${current}/${path}`);
}
