/** Random changes to what a build is made of, each with what an explanation has to say of it. */
import type { Cause } from '../../../src/insight/explain/cause.ts';
import type { CorpusEntry } from './corpus.ts';

/** What a build is made of. */
export interface State {
  readonly entry: CorpusEntry;
  readonly files: Map<string, { readonly text: string; readonly mode: string }>;
  lines: string[];
  readonly args: Map<string, string>;
  /** The tag of the base image's layout that the name `base` stands for. */
  tag: string;
  /** Flags of the next build only. */
  flags: { noCache?: 'all' | string[]; addHosts?: string[] };
  /** Files whose times are set anew without any other change. */
  touched: string[];
  prune: boolean;
}

export interface Mutation {
  readonly what: string;
  readonly apply: () => void;
  /** Whether a cause is this change. */
  readonly isCause: (cause: Cause) => boolean;
  /** No step may run because of it. */
  readonly isSilent?: true;
  /** Steps need not run: an earlier build may have been the same, or nothing uses it. */
  readonly mayBeSilent?: true;
  /** What later changes cannot be told from. */
  readonly isLast?: true;
}

/** One of a list, undefined of an empty one. */
export type Picker = <T>(list: readonly T[]) => T | undefined;

/** A change, or undefined where there is nothing to change. `fresh` makes words that were never used. */
type Maker = (state: State, pick: Picker, fresh: () => string) => Mutation | undefined;

/** A generator of numbers from 0 to below 1 that a seed decides (mulberry32). */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let bits = state;
    bits = Math.imul(bits ^ (bits >>> 15), bits | 1);
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function initialState(entry: CorpusEntry): State {
  const files = Object.entries(entry.files).map(([path, { text, mode = '0644' }]) => [path, { text, mode }] as const);
  return {
    entry,
    files: new Map(files),
    lines: entry.dockerfile.split('\n'),
    args: new Map(Object.entries(entry.args ?? {})),
    tag: 'latest',
    flags: {},
    touched: [],
    prune: false,
  };
}

const isFile =
  (path: string, test: (cause: Extract<Cause, { kind: 'file' }>) => boolean) =>
  (cause: Cause): boolean =>
    cause.kind === 'file' && cause.path === path && test(cause);

const isInstruction =
  (text: string, change: string) =>
  (cause: Cause): boolean =>
    cause.kind === 'instruction' && (cause.after ?? cause.before) === text && cause.change === change;

const isVariable =
  (instruction: string, name: string) =>
  (cause: Cause): boolean =>
    cause.kind === 'variable' && cause.instruction === instruction && cause.name === name;

const isRecord =
  (reason: string) =>
  (cause: Cause): boolean =>
    cause.kind === 'record' && cause.reason === reason;

const isContent = isAspect('content');

function isAspect(aspect: string) {
  return ({ change, aspects, atLeast }: Extract<Cause, { kind: 'file' }>) =>
    change === 'changed' && aspects.join() === aspect && !atLeast;
}

function isRead({ reads }: CorpusEntry, path: string): boolean {
  return path !== '.dockerignore' && reads.some(one => one === '' || path === one || path.startsWith(`${one}/`));
}

/** The paths of files with them. */
function filesOf(state: State, test: (path: string) => boolean) {
  return [...state.files].filter(([path]) => test(path));
}

/** Lines of the Dockerfile with their numbers, from 0. */
function linesOf({ lines }: State, pattern: RegExp): (readonly [number, string])[] {
  return [...lines.entries()].filter(([, line]) => pattern.test(line));
}

const replaceLine = (state: State, index: number, line: string) => {
  state.lines = state.lines.with(index, line);
};
const insertLine = (state: State, index: number, line: string) => {
  state.lines = state.lines.toSpliced(index, 0, line);
};
const removeLine = (state: State, index: number) => {
  state.lines = state.lines.toSpliced(index, 1);
};

/** A changed Dockerfile is a changed file of the context too where it lies in it. */
function ofDockerfile(state: State, isCause: Mutation['isCause']): Mutation['isCause'] {
  if (!state.entry.inContext) return isCause;
  const isItself = isFile('Dockerfile', isContent);
  return cause => isCause(cause) || isItself(cause);
}

function lineChange(state: State, index: number, line: string, cause = line): Mutation {
  return {
    what: `line ${index + 1}, ${state.lines[index]}, becomes ${line}`,
    apply: () => replaceLine(state, index, line),
    isCause: ofDockerfile(state, isInstruction(cause, 'changed')),
  };
}

/** Names of files and images have to be there, so the arguments that hold them are changed with care. */
const isFreeArgument = (name: string) => name !== 'FLAVOUR' && name !== 'FROM_DIR';

export const makers: Readonly<Record<string, Maker>> = {
  'edit a file': (state, pick, fresh) => {
    const [path, file] = pick(filesOf(state, one => isRead(state.entry, one))) ?? [];
    if (path === undefined || file === undefined) return undefined;
    const text = `${file.text}${fresh()}\n`;
    return {
      what: `edit ${path}`,
      apply: () => state.files.set(path, { ...file, text }),
      isCause: isFile(path, isContent),
    };
  },

  'edit a file to the same size': (state, pick, fresh) => {
    const [path, file] = pick(filesOf(state, one => isRead(state.entry, one))) ?? [];
    const word = fresh();
    if (path === undefined || file === undefined) return undefined;
    const text = `${word}${file.text}`.slice(0, Math.max(file.text.length, word.length));
    return {
      what: `edit ${path} to the same size`,
      apply: () => state.files.set(path, { ...file, text }),
      isCause: isFile(path, isContent),
    };
  },

  'change a mode': (state, pick) => {
    const [path, file] = pick(filesOf(state, one => isRead(state.entry, one))) ?? [];
    if (path === undefined || file === undefined) return undefined;
    const mode = pick(['0600', '0640', '0644', '0755', '0700'].filter(one => one !== file.mode)) ?? '0600';
    return {
      what: `chmod ${mode} ${path}`,
      apply: () => state.files.set(path, { ...file, mode }),
      isCause: isFile(path, isAspect('mode')),
      mayBeSilent: true,
    };
  },

  'add a file': (state, pick, fresh) => {
    const [beside] = pick(filesOf(state, one => one.startsWith('src/'))) ?? [];
    const path = `${beside?.slice(0, beside.lastIndexOf('/'))}/new-${fresh()}.ts`;
    if (beside === undefined || !isRead(state.entry, path)) return undefined;
    return {
      what: `add ${path}`,
      apply: () => state.files.set(path, { text: `${path}\n`, mode: '0644' }),
      isCause: isFile(path, ({ change }) => change === 'added'),
    };
  },

  'remove a file': (state, pick) => {
    const [path] = pick(filesOf(state, one => one.includes('/new-'))) ?? [];
    if (path === undefined) return undefined;
    return {
      what: `remove ${path}`,
      apply: () => state.files.delete(path),
      isCause: isFile(path, ({ change }) => change === 'removed'),
      mayBeSilent: true,
    };
  },

  'rename a file': (state, pick, fresh) => {
    const [path, file] = pick(filesOf(state, one => one.includes('/new-'))) ?? [];
    if (path === undefined || file === undefined) return undefined;
    const to = `${path.slice(0, path.lastIndexOf('/'))}/new-${fresh()}.ts`;
    return {
      what: `rename ${path} to ${to}`,
      apply: () => {
        state.files.delete(path);
        state.files.set(to, file);
      },
      isCause: isFile(to, ({ change, renamedFrom }) => change === 'renamed' && renamedFrom === path),
    };
  },

  'touch a file': (state, pick) => {
    const [path] = pick([...state.files]) ?? [];
    if (path === undefined) return undefined;
    return { what: `touch ${path}`, apply: () => state.touched.push(path), isCause: () => false, isSilent: true };
  },

  'edit a file that nothing reads': (state, pick, fresh) => {
    const [path, file] = pick(filesOf(state, one => one !== '.dockerignore' && !isRead(state.entry, one))) ?? [];
    if (path === undefined || file === undefined) return undefined;
    const text = `${file.text}${fresh()}\n`;
    return {
      what: `edit ${path}, which nothing reads`,
      apply: () => state.files.set(path, { ...file, text }),
      isCause: () => false,
      isSilent: true,
    };
  },

  'ignore a file': (state, pick) => {
    const ignore = state.files.get('.dockerignore');
    const [path] = pick(filesOf(state, one => isRead(state.entry, one) && one.includes('/'))) ?? [];
    if (ignore === undefined || path === undefined) return undefined;
    const isIgnored = isFile(path, cause => cause.change === 'removed' && cause.ignore === true);
    const isItself = isFile('.dockerignore', isContent);
    return {
      what: `ignore ${path}`,
      apply: () => state.files.set('.dockerignore', { ...ignore, text: `${ignore.text}${path}\n` }),
      isCause: cause => isIgnored(cause) || isItself(cause),
      isLast: true,
    };
  },

  'change a build argument': (state, pick, fresh) => {
    const name = pick(state.lines.flatMap(line => /^ARG (\w+)/.exec(line)?.[1] ?? []).filter(isFreeArgument));
    if (name === undefined) return undefined;
    const value = `/${fresh()}`;
    return {
      what: `--build-arg ${name}=${value}`,
      apply: () => state.args.set(name, value),
      isCause: isVariable('ARG', name),
    };
  },

  'change the default of an argument': (state, pick, fresh) => {
    const nameOf = (line = '') => /^ARG (\w+)=/.exec(line)?.[1] ?? '';
    const isDefault = (name: string) => isFreeArgument(name) && !state.args.has(name);
    const [index, line] = pick(linesOf(state, /^ARG \w+=/).filter(([, one]) => isDefault(nameOf(one)))) ?? [];
    if (index === undefined) return undefined;
    const name = nameOf(line);
    const value = `/${fresh()}`;
    return {
      what: `ARG ${name}=${value}`,
      apply: () => replaceLine(state, index, `ARG ${name}=${value}`),
      isCause: ofDockerfile(state, isVariable('ARG', name)),
    };
  },

  'choose another base by argument': state => {
    if (!state.lines.some(line => line.startsWith('ARG FLAVOUR'))) return undefined;
    const value = state.args.get('FLAVOUR') === 'other' ? 'base' : 'other';
    return {
      what: `--build-arg FLAVOUR=${value}`,
      apply: () => state.args.set('FLAVOUR', value),
      isCause: isVariable('ARG', 'FLAVOUR'),
      mayBeSilent: true,
    };
  },

  'change a variable': (state, pick, fresh) => {
    const [index, line] = pick(linesOf(state, /^ENV (?!HOME_DIR)\w+=[^$]*$/)) ?? [];
    const name = /^ENV (\w+)=/.exec(line ?? '')?.[1];
    if (index === undefined || name === undefined) return undefined;
    return {
      what: `change ENV ${name}`,
      apply: () => replaceLine(state, index, `ENV ${name}=${fresh()}`),
      isCause: ofDockerfile(state, isVariable('ENV', name)),
    };
  },

  'add a variable': (state, pick, fresh) => {
    const [index] = pick(linesOf(state, /^RUN/)) ?? [];
    if (index === undefined) return undefined;
    const name = `NEW_${fresh()}`;
    return {
      what: `add ENV ${name} at line ${index + 1}`,
      apply: () => insertLine(state, index, `ENV ${name}=1`),
      isCause: ofDockerfile(state, isVariable('ENV', name)),
    };
  },

  'remove a variable': (state, pick) => {
    const [index, line] = pick(linesOf(state, /^ENV NEW_/)) ?? [];
    const name = /^ENV (\w+)=/.exec(line ?? '')?.[1];
    if (index === undefined || name === undefined) return undefined;
    return {
      what: `remove ENV ${name}`,
      apply: () => removeLine(state, index),
      isCause: ofDockerfile(state, isVariable('ENV', name)),
      mayBeSilent: true,
    };
  },

  'edit an instruction': (state, pick, fresh) => {
    const [index, line] = pick(linesOf(state, /^RUN (?!<<).*\bv\w+/)) ?? [];
    if (index === undefined || line === undefined) return undefined;
    return lineChange(state, index, line.replace(/\bv\w+/, `v${fresh()}`));
  },

  'edit a heredoc': (state, pick, fresh) => {
    const [index, line] = pick(linesOf(state, /^(echo|value) v\w+/)) ?? [];
    if (index === undefined || line === undefined) return undefined;
    const [, start] = linesOf(state, /<<EOF/).findLast(([at]) => at < index) ?? [];
    return lineChange(state, index, line.replace(/\bv\w+/, `v${fresh()}`), start);
  },

  'change a destination': (state, pick, fresh) => {
    const [index, line] = pick(linesOf(state, /^(COPY|ADD) (?!<<).* \/\w+\/?$/)) ?? [];
    if (index === undefined || line === undefined) return undefined;
    // A directory, since sources may be several.
    return lineChange(state, index, line.replace(/ \/\w+\/?$/, ` /t${fresh()}/`));
  },

  'change the directory, user or shell': (state, pick, fresh) => {
    const [index, line] = pick(linesOf(state, /^(WORKDIR \w|USER 1|SHELL|WORKDIR \/w)/)) ?? [];
    if (index === undefined || line === undefined) return undefined;
    let changed = line.replace(/\w+$/, `w${fresh()}`);
    if (line.startsWith('SHELL')) changed = `SHELL ["/bin/sh", "${line.includes('-ec') ? '-c' : '-ec'}"]`;
    if (line.startsWith('USER')) changed = `USER 1${Number.parseInt(fresh(), 36) % 1000}`;
    return { ...lineChange(state, index, changed), mayBeSilent: true };
  },

  'add an instruction': (state, pick, fresh) => {
    const [index] = pick(linesOf(state, /^RUN/)) ?? [];
    if (index === undefined) return undefined;
    const name = fresh();
    const line = `RUN echo ${name} > /tmp/${name}`;
    return {
      what: `add a RUN at line ${index + 1}`,
      apply: () => insertLine(state, index, line),
      isCause: ofDockerfile(state, isInstruction(line, 'added')),
    };
  },

  'remove an instruction': (state, pick) => {
    const [index, line] = pick(linesOf(state, /^RUN echo \w+ > \/tmp/)) ?? [];
    if (index === undefined || line === undefined) return undefined;
    return {
      what: `remove line ${index + 1}, ${line}`,
      apply: () => removeLine(state, index),
      isCause: ofDockerfile(state, isInstruction(line, 'removed')),
      mayBeSilent: true,
    };
  },

  'swap two instructions': (state, pick) => {
    const isSwappable = (line = '') => /^(RUN (?!<<)|COPY (?!<<)|ENV (?!HOME_DIR))/.test(line);
    const isPair = ([index, line]: readonly [number, string]) => {
      const next = state.lines[index + 1];
      return isSwappable(line) && isSwappable(next) && line !== next;
    };
    const [index, first] = pick(linesOf(state, /./).filter(isPair)) ?? [];
    if (index === undefined || first === undefined) return undefined;
    const second = state.lines[index + 1] ?? '';
    const [isFirst, isSecond] = [isInstruction(first, 'moved'), isInstruction(second, 'moved')];
    return {
      what: `swap lines ${index + 1} and ${index + 2}, ${first} and ${second}`,
      apply: () => {
        state.lines = state.lines.with(index, second).with(index + 1, first);
      },
      isCause: ofDockerfile(state, cause => isFirst(cause) || isSecond(cause)),
      mayBeSilent: true,
    };
  },

  'change metadata': (state, pick, fresh) => {
    const [index, line] = pick(linesOf(state, /^(LABEL version|CMD)/)) ?? [];
    if (index === undefined || line === undefined || state.entry.inContext) return undefined;
    const changed = line.startsWith('LABEL') ? `LABEL version=${fresh()}` : `CMD ["${fresh()}"]`;
    return { ...lineChange(state, index, changed), isCause: () => false, isSilent: true };
  },

  'add a comment': (state, pick, fresh) => {
    const [index] = pick(linesOf(state, /^(RUN|COPY|FROM)/)) ?? [];
    if (index === undefined || state.entry.inContext) return undefined;
    return {
      what: `a comment at line ${index + 1}`,
      apply: () => insertLine(state, index, `# ${fresh()}`),
      isCause: () => false,
      isSilent: true,
    };
  },

  'move the base image': (state, pick) => {
    const isUsed = state.lines.some(line => /^FROM base\b|^ARG FLAVOUR/.test(line));
    if (!isUsed || state.args.get('FLAVOUR') === 'other') return undefined;
    const tag = pick(['latest', 'layer', 'env'].filter(one => one !== state.tag)) ?? 'latest';
    return {
      what: `base names ${tag}`,
      apply: () => {
        state.tag = tag;
      },
      isCause: cause => cause.kind === 'base' && cause.reference.endsWith('/base') && cause.before !== cause.after,
      mayBeSilent: true,
    };
  },

  'run without cache': state => ({
    what: '--no-cache',
    apply: () => {
      state.flags = { noCache: 'all' };
    },
    isCause: isRecord('no-cache'),
  }),

  'run a stage without cache': (state, pick) => {
    const stage = pick(state.lines.flatMap(line => /^FROM .* AS (\w+)/.exec(line)?.[1] ?? []));
    if (stage === undefined) return undefined;
    return {
      what: `--no-cache-filter ${stage}`,
      apply: () => {
        state.flags = { noCache: [stage] };
      },
      isCause: isRecord('no-cache'),
    };
  },

  'add a host': (state, _, fresh) => ({
    what: '--add-host',
    apply: () => {
      state.flags = { addHosts: [`h${fresh()}=10.0.0.1`] };
    },
    isCause: cause => cause.kind === 'option' && cause.name === '--add-host',
    mayBeSilent: true,
  }),

  prune: state => ({
    what: 'prune everything',
    apply: () => {
      state.prune = true;
    },
    isCause: isRecord('pruned'),
    isLast: true,
  }),
};

/** Of two changes to one thing the second would hide the first, so only some are made in pairs. */
const UNPAIRABLE =
  /prune|same size|mode|remove|rename|swap|ignore|without|touch|nothing reads|metadata|comment|host|another base/;

export function isPairable(name: string): boolean {
  return !UNPAIRABLE.test(name);
}
