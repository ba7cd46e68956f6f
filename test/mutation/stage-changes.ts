/** Changes to the stages of a Dockerfile, and to how its instructions are laid out. */
import {
  insertLine,
  isInstruction,
  isUsedBelow,
  isVariable,
  lineChange,
  lineRemoval,
  linesOf,
  type Maker,
  type Mutation,
  ofDockerfile,
  replaceLine,
  silent,
} from './mutation.ts';
import type { State } from './state.ts';

/** Names of files and images have to be there, and what a variable hides changes nothing. */
export const isFreeArgument = (name: string): boolean => !/^(FLAVOUR|FROM_DIR|TARGETARCH|HIDDEN)$/.test(name);

/** A line that is new. */
function addition(state: State, index: number, line: string): Mutation {
  return {
    what: `add ${line} at line ${index + 1}`,
    apply: () => insertLine(state, index, line),
    about: [line],
    isCause: ofDockerfile(state, isInstruction(line, 'added')),
  };
}

/** Whether what follows in the stage and in those on it names no file below the working directory. */
function isPlaceFree({ lines, entry }: State, index: number): boolean {
  if (entry.inContext || lines.filter(line => line.startsWith('FROM')).length > 1) return false;
  return lines.slice(index).every(line => !/\bcat | > \w|^WORKDIR|^(COPY|ADD) .* [^/]\S*$/.test(line));
}

const SETTINGS = /^(WORKDIR \/new|USER 0$|SHELL \["\/bin\/sh", "-c"\]$)/;

export const stageChanges: Readonly<Record<string, Maker>> = {
  'put a stage on another image': (state, pick) => {
    const [index, line] = pick(linesOf(state, /^FROM (base|other)\b/)) ?? [];
    if (index === undefined || line === undefined || state.entry.platforms !== undefined) return undefined;
    const [from, to] = line.startsWith('FROM base') ? ['base', 'other'] : ['other', 'base'];
    return { ...lineChange(state, index, line.replace(from, to)), mayBeSilent: true };
  },

  'name the platform of a stage': (state, pick) => {
    const [index, line] = pick(linesOf(state, /^FROM base\b/)) ?? [];
    if (index === undefined || line === undefined || state.entry.platforms || state.isForeign) return undefined;
    const change = lineChange(state, index, line.replace('FROM ', 'FROM --platform=linux/386 '));
    const isForeign: Mutation['isCause'] = cause => cause.kind === 'platform' && cause.after === 'linux/386';
    return {
      ...change,
      isCause: cause => change.isCause(cause) || isForeign(cause),
      mayBeSilent: true,
      isLast: true,
    };
  },

  'add a stage and copy from it': (state, _, fresh) => {
    const index = state.lines.findLastIndex(line => line.startsWith('FROM'));
    if (state.entry.inContext || state.target !== undefined || state.lines.some(line => /--from=\d/.test(line)))
      return undefined;
    const name = `u${fresh()}`;
    const added = [`FROM base AS ${name}`, `RUN echo ${name} > /${name}`];
    const copy = `COPY --from=${name} /${name} /${name}`;
    const isNew = [...added, copy].map(line => isInstruction(line, 'added'));
    return {
      what: `add the stage ${name}, and copy from it`,
      apply: () => {
        state.lines = [...state.lines.toSpliced(index, 0, ...added).filter(line => line !== ''), copy, ''];
      },
      about: [copy],
      isCause: cause => isNew.some(isIt => isIt(cause)),
    };
  },

  'write the stages in another order': (state, pick) => {
    const starts = linesOf(state, /^FROM /).map(([index]) => index);
    const isNamed = (index = 0) => / AS [a-z]\w*$/.test(state.lines[index] ?? '');
    const blockOf = (at: number) => state.lines.slice(starts[at], starts[at + 1]);
    // The last stage is the result, and one that uses the one before it has to follow it.
    const places = starts.keys().filter(at => {
      const name = / AS (\w+)$/.exec(state.lines[starts[at] ?? 0] ?? '')?.[1] ?? '';
      const isOn = blockOf(at + 1).some(line => new RegExp(`\\b${name}\\b`).test(line));
      return at < starts.length - 2 && isNamed(starts[at]) && isNamed(starts[at + 1]) && !isOn;
    });
    const at = pick([...places]);
    if (at === undefined || state.lines.some(line => /--from=\d/.test(line)) || state.entry.inContext) return undefined;
    return silent('two stages change places', () => {
      const [first, second] = [blockOf(at), blockOf(at + 1)];
      state.lines = state.lines.toSpliced(starts[at] ?? 0, first.length + second.length, ...second, ...first);
    });
  },

  'write an instruction on two lines': (state, pick) => {
    const [index, line] = pick(linesOf(state, /^RUN (?!<<|\[).* > /)) ?? [];
    if (index === undefined || line === undefined || line.endsWith('\\') || state.entry.inContext) return undefined;
    const at = line.lastIndexOf(' > ');
    return silent(`line ${index + 1} on two lines`, () => {
      state.lines = state.lines.toSpliced(index, 1, `${line.slice(0, at)} \\`, line.slice(at + 1));
    });
  },

  'comment in an instruction': (state, pick, fresh) => {
    const [index] = pick(linesOf(state, /\\$/)) ?? [];
    if (index === undefined || state.entry.inContext) return undefined;
    return silent('a comment in an instruction', () => insertLine(state, index + 1, `# ${fresh()}`));
  },

  'write an instruction as JSON': (state, pick) => {
    const [index, line] = pick(linesOf(state, /^RUN echo [^"\\]*[^\\]$/)) ?? [];
    if (index === undefined || line === undefined) return undefined;
    const changed = `RUN ${JSON.stringify(['/bin/sh', '-c', line.slice(4)])}`;
    return { ...lineChange(state, index, changed), mayBeSilent: true };
  },

  'write an instruction twice': (state, pick) => {
    const [index, line] = pick(linesOf(state, /^RUN echo [^\\]*[^\\]$/)) ?? [];
    if (index === undefined || line === undefined) return undefined;
    return { ...addition(state, index + 1, line), mayBeSilent: true };
  },

  'join two instructions': (state, pick) => {
    const isIt = (line = '') => /^RUN echo [^\\]*[^\\]$/.test(line);
    const [index, line] = pick(linesOf(state, /./).filter(([at, one]) => isIt(one) && isIt(state.lines[at + 1]))) ?? [];
    if (index === undefined || line === undefined) return undefined;
    const second = state.lines[index + 1] ?? '';
    const joined = `${line}; ${second.slice(4)}`;
    const [isJoined, isGone] = [
      isInstruction(joined, 'changed'),
      [line, second].map(one => isInstruction(one, 'removed')),
    ];
    return {
      what: `join lines ${index + 1} and ${index + 2}`,
      apply: () => {
        state.lines = state.lines.toSpliced(index, 2, joined);
      },
      about: [line, second],
      isCause: ofDockerfile(state, cause => isJoined(cause) || isGone.some(one => one(cause))),
    };
  },

  'remove any instruction': (state, pick) => {
    const isUsed = (line: string) => {
      const [, path = ''] = /> \/?([\w.]+)$/.exec(line) ?? [];
      return state.lines.filter(one => new RegExp(`\\b${RegExp.escape(path)}\\b`).test(one)).length > 1;
    };
    const [index, line] = pick(linesOf(state, /^RUN echo v\w+ > \/?[\w.]+$/).filter(([, one]) => !isUsed(one))) ?? [];
    if (index === undefined || line === undefined || state.entry.inContext) return undefined;
    // What is left is too little to change for long.
    return { ...lineRemoval(state, index, line), isLast: true };
  },

  'add a directory, user or shell': (state, pick, fresh) => {
    const [index] = pick(linesOf(state, /^RUN/).filter(([at]) => isPlaceFree(state, at))) ?? [];
    const line = pick([`WORKDIR /new${fresh()}`, 'USER 0', 'SHELL ["/bin/sh", "-c"]']);
    if (index === undefined || line === undefined || state.lines.includes(line)) return undefined;
    return { ...addition(state, index, line), ...(line.startsWith('SHELL') ? { mayBeSilent: true as const } : {}) };
  },

  'remove a directory, user or shell': (state, pick) => {
    const [index, line] = pick(linesOf(state, SETTINGS)) ?? [];
    if (index === undefined || line === undefined || state.entry.name.startsWith('user')) return undefined;
    return lineRemoval(state, index, line);
  },

  'add metadata': (state, pick, fresh) => {
    const [index] = pick(linesOf(state, /^(RUN|COPY)/)) ?? [];
    const word = fresh();
    const line = pick([
      `LABEL l${word}=1`,
      'EXPOSE 8080',
      `CMD ["${word}"]`,
      'STOPSIGNAL SIGINT',
      `VOLUME /v${word}`,
      'HEALTHCHECK NONE',
    ]);
    if (index === undefined || line === undefined || state.entry.inContext) return undefined;
    return silent(`add ${line} at line ${index + 1}`, () => insertLine(state, index, line));
  },

  'write the variables of a line in another order': (state, pick) => {
    const [index, line] = pick(linesOf(state, /^ENV \w+=\w+ \w+=\w+$/)) ?? [];
    if (index === undefined || line === undefined) return undefined;
    const changed = line.replace(/(\w+=\w+) (\w+=\w+)/, '$2 $1');
    return { ...lineChange(state, index, changed), mayBeSilent: true };
  },

  'change an argument that a variable hides': (state, pick, fresh) => {
    const [index] = pick(linesOf(state, /^ARG HIDDEN=/)) ?? [];
    if (index === undefined) return undefined;
    const value = fresh();
    if (pick([true, false])) return silent(`--build-arg HIDDEN=${value}`, () => state.args.set('HIDDEN', value));
    return silent(`ARG HIDDEN=${value}`, () => replaceLine(state, index, `ARG HIDDEN=${value}`));
  },

  'change a default that is given': (state, pick, fresh) => {
    const nameOf = (line = '') => /^ARG (\w+)=/.exec(line)?.[1] ?? '';
    const [index, line] = pick(linesOf(state, /^ARG \w+=/).filter(([, one]) => state.args.has(nameOf(one)))) ?? [];
    if (index === undefined || state.entry.inContext) return undefined;
    return silent(`another default of ${nameOf(line)}`, () =>
      replaceLine(state, index, `ARG ${nameOf(line)}=/${fresh()}`),
    );
  },

  'hide an argument by a variable': (state, pick, fresh) => {
    const [index, line] = pick(linesOf(state, /^ARG \w+=/).filter(([at]) => isUsedBelow(state, at))) ?? [];
    const name = /^ARG (\w+)=/.exec(line ?? '')?.[1] ?? '';
    const first = state.lines.findIndex(one => one.startsWith('FROM'));
    if (index === undefined || index < first || !isFreeArgument(name)) return undefined;
    const value = fresh();
    return {
      what: `ENV ${name}=${value} at line ${index + 2}`,
      apply: () => insertLine(state, index + 1, `ENV ${name}=${value}`),
      about: [name],
      isCause: isVariable('ENV', name, value),
      isLast: true,
    };
  },

  'rename a variable': (state, pick, fresh) => {
    const [index, line] = pick(linesOf(state, /^(ARG|ENV) \w+=\S+$/)) ?? [];
    const name = /^\w+ (\w+)=/.exec(line ?? '')?.[1] ?? '';
    const isGiven = state.args.has(name) || !isFreeArgument(name) || /_DIR$/.test(name);
    const declared = state.lines.filter(one => new RegExp(`^(ARG|ENV) .*\\b${name}\\b`).test(one));
    if (index === undefined || name === '' || isGiven || declared.length > 1 || state.entry.inContext) return undefined;
    const to = `R_${fresh().toUpperCase()}`;
    const renamed = (one: string) => one.replace(new RegExp(`\\b${name}\\b`, 'g'), to);
    const users = state.lines.filter(one => one !== renamed(one)).map(one => isInstruction(renamed(one), 'changed'));
    return {
      what: `rename ${name} to ${to}`,
      apply: () => {
        state.lines = state.lines.map(renamed);
      },
      about: [name],
      isCause: cause =>
        users.some(isIt => isIt(cause)) || (cause.kind === 'variable' && (cause.name === name || cause.name === to)),
      mayBeSilent: true,
    };
  },
};
