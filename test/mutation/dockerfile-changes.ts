/** Changes to the Dockerfile. */
import {
  insertLine,
  isInstruction,
  isUsedBelow,
  isVariable,
  lineChange,
  lineRemoval,
  linesOf,
  type Maker,
  ofDockerfile,
  removeLine,
  replaceLine,
  silent,
} from './mutation.ts';
import { isFreeArgument } from './stage-changes.ts';

const isSwappable = (line = '') => /^(RUN (?!<<)|COPY (?!<<)|ENV (?!HOME_DIR))/.test(line) && !line.endsWith('\\');

export const dockerfileChanges: Readonly<Record<string, Maker>> = {
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
      about: [name],
      isCause: ofDockerfile(state, isVariable('ARG', name, value)),
      ...(isUsedBelow(state, index) ? {} : { mayBeSilent: true as const }),
    };
  },

  'change a variable': (state, pick, fresh) => {
    const [index, line] = pick(linesOf(state, /^ENV (?!HOME_DIR)\w+=[^$\s]*$/)) ?? [];
    const name = /^ENV (\w+)=/.exec(line ?? '')?.[1];
    if (index === undefined || name === undefined) return undefined;
    const value = fresh();
    return {
      what: `change ENV ${name}`,
      apply: () => replaceLine(state, index, `ENV ${name}=${value}`),
      about: [name],
      isCause: ofDockerfile(state, isVariable('ENV', name, value)),
      ...(isUsedBelow(state, index) ? {} : { mayBeSilent: true as const }),
    };
  },

  'add a variable': (state, pick, fresh) => {
    const [index] = pick(linesOf(state, /^RUN/)) ?? [];
    if (index === undefined) return undefined;
    const name = `NEW_${fresh()}`;
    return {
      what: `add ENV ${name} at line ${index + 1}`,
      apply: () => insertLine(state, index, `ENV ${name}=1`),
      about: [name],
      isCause: ofDockerfile(state, isVariable('ENV', name, '1')),
    };
  },

  'remove a variable': (state, pick) => {
    const [index, line] = pick(linesOf(state, /^ENV NEW_/)) ?? [];
    const name = /^ENV (\w+)=/.exec(line ?? '')?.[1];
    if (index === undefined || name === undefined) return undefined;
    return {
      what: `remove ENV ${name}`,
      apply: () => removeLine(state, index),
      about: [name],
      isCause: ofDockerfile(
        state,
        cause => isVariable('ENV', name)(cause) && cause.kind === 'variable' && cause.after === undefined,
      ),
      mayBeSilent: true,
    };
  },

  'add an argument': (state, pick, fresh) => {
    const [index] = pick(linesOf(state, /^RUN/)) ?? [];
    if (index === undefined) return undefined;
    const name = `NEW_${fresh()}`;
    return {
      what: `add ARG ${name} at line ${index + 1}`,
      apply: () => insertLine(state, index, `ARG ${name}=1`),
      about: [name],
      isCause: ofDockerfile(state, isVariable('ARG', name, '1')),
    };
  },

  'edit an instruction': (state, pick, fresh) => {
    const [index, line] = pick(linesOf(state, /^RUN (?!<<).*\bv\w+/)) ?? [];
    if (index === undefined || line === undefined) return undefined;
    const isWhole = !line.endsWith('\\');
    const next = isWhole ? '' : (state.lines[index + 1] ?? '');
    const changed = line.replace(/\bv\w+/, `v${fresh()}`);
    return lineChange(state, index, changed, isWhole ? changed : `${changed.slice(0, -1)}${next}`);
  },

  'edit a heredoc': (state, pick, fresh) => {
    const [index, line] = pick(linesOf(state, /^(echo|value) v\w+/)) ?? [];
    if (index === undefined || line === undefined) return undefined;
    const [, start] = linesOf(state, /<<EOF/).findLast(([at]) => at < index) ?? [];
    return lineChange(state, index, line.replace(/\bv\w+/, `v${fresh()}`), start);
  },

  'change a destination': (state, pick, fresh) => {
    const [index, line] = pick(linesOf(state, /^(COPY|ADD) (?![<[]).* \/\w+\/?$/)) ?? [];
    if (index === undefined || line === undefined) return undefined;
    // A directory, since sources may be several.
    return lineChange(state, index, line.replace(/ \/\w+\/?$/, ` /t${fresh()}/`));
  },

  'change a flag of a copy': (state, pick, fresh) => {
    const [index, line] = pick(linesOf(state, /^(COPY|ADD) --ch(mod|own)=/)) ?? [];
    if (index === undefined || line === undefined) return undefined;
    const number = 1 + (Number.parseInt(fresh(), 36) % 5000);
    const changed = line
      .replace(/--chmod=\d+/, line.includes('=755') ? '--chmod=750' : '--chmod=755')
      .replace(/--chown=\d+/, `--chown=${number}`);
    return { ...lineChange(state, index, changed), mayBeSilent: true };
  },

  'link a copy, or no more': (state, pick) => {
    const [index, line] = pick(linesOf(state, /^COPY (?![<[]|--ch|--ex|--pa)/)) ?? [];
    if (index === undefined || line === undefined) return undefined;
    const changed = line.includes('--link') ? line.replace('--link ', '') : line.replace('COPY ', 'COPY --link ');
    return { ...lineChange(state, index, changed), mayBeSilent: true };
  },

  'write ADD for COPY': (state, pick) => {
    const [index, line] = pick(linesOf(state, /^COPY (?![<[]|.*--(from|parents))/)) ?? [];
    if (index === undefined || line === undefined) return undefined;
    return { ...lineChange(state, index, line.replace('COPY', 'ADD')), mayBeSilent: true };
  },

  'write the keyword another way': (state, pick) => {
    const [index, line] = pick(linesOf(state, /^(RUN|COPY|WORKDIR|ENV) (?!.*<<)/i)) ?? [];
    if (index === undefined || line === undefined || state.entry.inContext) return undefined;
    const keyword = /^\w+/.exec(line)?.[0] ?? '';
    const other = keyword === keyword.toUpperCase() ? keyword.toLowerCase() : keyword.toUpperCase();
    return {
      ...silent(`line ${index + 1} with ${other}`, () => undefined),
      ...keywordChange(state, index, line, other),
    };
  },

  'add a mount': (state, pick, fresh) => {
    const [index, line] = pick(linesOf(state, /^RUN (?!<<|--|\[)/)) ?? [];
    if (index === undefined || line === undefined || line.endsWith('\\')) return undefined;
    return lineChange(state, index, line.replace('RUN ', `RUN --mount=type=tmpfs,target=/tmp/${fresh()} `));
  },

  'change the id of a cache mount': (state, pick, fresh) => {
    const [index, line] = pick(linesOf(state, /^RUN --mount=type=cache,id=/)) ?? [];
    if (index === undefined || line === undefined) return undefined;
    const changed = line.replace(/id=\w+/, `id=${fresh()}`);
    return silent(`line ${index + 1} becomes ${changed}`, () => replaceLine(state, index, changed));
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
      about: [line],
      isCause: ofDockerfile(state, isInstruction(line, 'added')),
    };
  },

  'remove an instruction': (state, pick) => {
    const [index, line] = pick(linesOf(state, /^RUN echo \w+ > \/tmp/)) ?? [];
    if (index === undefined || line === undefined) return undefined;
    return lineRemoval(state, index, line);
  },

  'swap two instructions': (state, pick) => {
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
      about: [first, second],
      isCause: ofDockerfile(state, cause => isFirst(cause) || isSecond(cause)),
      mayBeSilent: true,
    };
  },

  'move an instruction': (state, pick) => {
    // As far down as nothing else but steps like it stands in between.
    const endOf = (index: number) => {
      let end = index;
      while (isSwappable(state.lines[end + 1])) end++;
      return end;
    };
    const isFar = ([index, line]: readonly [number, string]) => endOf(index) >= index + 2 && !/^COPY .*\*/.test(line);
    const [index, line] = pick(linesOf(state, /^(RUN echo v|ENV (?!HOME_DIR)|COPY (?!<<))/).filter(isFar)) ?? [];
    if (index === undefined || line === undefined || line.endsWith('\\')) return undefined;
    const end = endOf(index);
    return {
      what: `move line ${index + 1}, ${line}, to line ${end + 1}`,
      apply: () => {
        state.lines = state.lines.toSpliced(index, 1).toSpliced(end, 0, line);
      },
      about: [line],
      isCause: ofDockerfile(state, isInstruction(line, 'moved')),
      mayBeSilent: true,
    };
  },

  'rename a stage': (state, pick, fresh) => {
    const name = pick(state.lines.flatMap(line => /^FROM .* AS ([a-z]\w*)$/.exec(line)?.[1] ?? []));
    if (name === undefined || state.target !== undefined || state.entry.inContext) return undefined;
    const to = `s${fresh()}`;
    return silent(`stage ${name} becomes ${to}`, () => {
      state.lines = state.lines.map(line =>
        line
          .replace(new RegExp(`^(FROM .* AS )${name}$`), `$1${to}`)
          .replace(new RegExp(`(\\bfrom=|^FROM )${name}\\b`), `$1${to}`),
      );
    });
  },

  'add a stage that nothing needs': (state, _, fresh) => {
    const index = state.lines.findIndex(line => line.startsWith('FROM'));
    if (index < 0 || state.entry.inContext) return undefined;
    // A number is no name of a stage that another one comes before.
    if (state.lines.some(line => /--from=\d/.test(line))) return undefined;
    const isOnly = state.lines.filter(line => line.startsWith('FROM')).length === 1;
    if (isOnly) return undefined;
    const word = fresh();
    return silent('a stage that nothing needs', () => {
      state.lines = state.lines.toSpliced(index, 0, `FROM base AS n${word}`, `RUN echo ${word}`);
    });
  },

  'change metadata': (state, pick, fresh) => {
    const [index, line] = pick(linesOf(state, /^(LABEL version|CMD)/)) ?? [];
    if (index === undefined || line === undefined || state.entry.inContext) return undefined;
    const changed = line.startsWith('LABEL') ? `LABEL version=${fresh()}` : `CMD ["${fresh()}"]`;
    return silent(`line ${index + 1} becomes ${changed}`, () => replaceLine(state, index, changed));
  },

  'add a comment': (state, pick, fresh) => {
    const [index] = pick(linesOf(state, /^(RUN|COPY|FROM)/)) ?? [];
    if (index === undefined || state.entry.inContext) return undefined;
    return silent(`a comment at line ${index + 1}`, () => insertLine(state, index, `# ${fresh()}`));
  },
};

function keywordChange(state: Parameters<Maker>[0], index: number, line: string, keyword: string) {
  return { apply: () => replaceLine(state, index, line.replace(/^\w+/, keyword)) };
}
