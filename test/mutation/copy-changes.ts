/** Changes to the flags and sources of COPY, ADD and the mounts of RUN. */
import {
  isInstruction,
  isRead,
  lineChange,
  linesOf,
  type Maker,
  type Mutation,
  ofDockerfile,
  replaceLine,
  silent,
} from './mutation.ts';
import type { Picker, State } from './state.ts';

const COPIES = /^(COPY|ADD) (?!.*(<<|\[|\{server\}))/;

/** Adds a flag to a copy, or takes the one that is there away. */
function toggle(state: State, pick: Picker, flag: RegExp, text: string, lines = COPIES): Mutation | undefined {
  const [index, line] = pick(linesOf(state, lines)) ?? [];
  if (index === undefined || line === undefined || line.endsWith('\\')) return undefined;
  const changed = flag.test(line) ? line.replace(flag, '') : line.replace(' ', ` ${text} `);
  return { ...lineChange(state, index, changed), mayBeSilent: true };
}

export const copyChanges: Readonly<Record<string, Maker>> = {
  'give a copy a mode, or none': (state, pick, fresh) =>
    toggle(state, pick, /--chmod=\S+ /, `--chmod=7${1 + (Number.parseInt(fresh(), 36) % 7)}5`),

  'give a copy an owner, or none': (state, pick, fresh) =>
    toggle(state, pick, /--chown=\S+ /, `--chown=${1 + (Number.parseInt(fresh(), 36) % 5000)}`),

  'leave out what is not there of a copy, or no more': (state, pick, fresh) =>
    toggle(state, pick, /--exclude=e\w+ /, `--exclude=e${fresh()}`, /^COPY (?!.*(<<|\[))/),

  'leave out files of a copy': (state, pick) => {
    const [index, line] = pick(linesOf(state, /^COPY (--\S+ )*(src|\.) /)) ?? [];
    if (index === undefined || line === undefined || state.entry.hasExclude || line.includes('--from'))
      return undefined;
    return { ...lineChange(state, index, line.replace('COPY ', 'COPY --exclude=**/new-* ')), isLast: true };
  },

  'keep the directories of a copy, or no more': (state, pick) => {
    // What else reads the files would not find them.
    if (state.lines.some(line => /\bcat |^ENV HOME_DIR/.test(line))) return undefined;
    return toggle(state, pick, /--parents /, '--parents', /^COPY (?!.*(<<|\[|--from|\*|\$| \. ))/);
  },

  'copy another file': (state, pick) => {
    const [index, line] = pick(linesOf(state, /^(COPY|ADD) (--(?!from)\S+ )*package\.json \/\w*\/?$/)) ?? [];
    if (index === undefined || line === undefined || !state.files.has('package-lock.json')) return undefined;
    return {
      ...lineChange(state, index, line.replace('package.json', 'package-lock.json')),
      mayBeSilent: true,
      isLast: true,
    };
  },

  'copy one file more': (state, pick) => {
    const [index, line] = pick(linesOf(state, /^(COPY|ADD) (--(?!from)\S+ )*package\.json \/(\w+\/)?$/)) ?? [];
    if (index === undefined || line === undefined || !state.files.has('package-lock.json')) return undefined;
    return {
      ...lineChange(state, index, line.replace('package.json', 'package.json package-lock.json')),
      isLast: true,
    };
  },

  'write the sources of a copy the other way round': (state, pick) => {
    const [index, line] = pick(linesOf(state, /^COPY package\.json package-lock\.json /)) ?? [];
    if (index === undefined || line === undefined) return undefined;
    const changed = line.replace('package.json package-lock.json', 'package-lock.json package.json');
    return { ...lineChange(state, index, changed), mayBeSilent: true };
  },

  'copy and rename a file': (state, pick, fresh) => {
    const [index, line] = pick(linesOf(state, /^(COPY|ADD) (--(?!from)\S+ )*run\.sh /)) ?? [];
    const file = state.files.get('run.sh');
    if (index === undefined || line === undefined || file === undefined) return undefined;
    const to = `run-${fresh()}.sh`;
    const change = lineChange(state, index, line.replace('run.sh', to));
    return {
      ...change,
      what: `rename run.sh to ${to} and ${change.what}`,
      apply: () => {
        change.apply();
        state.files.delete('run.sh');
        state.files.set(to, file);
      },
      isLast: true,
    };
  },

  'cut a RUN off from the network, or no more': (state, pick) =>
    toggle(state, pick, /--network=none /, '--network=none', /^RUN (?!<<|\[)/),

  'remove a mount': (state, pick) => {
    const [index, line] = pick(linesOf(state, /^RUN --mount=type=tmpfs/)) ?? [];
    if (index === undefined || line === undefined) return undefined;
    return { ...lineChange(state, index, line.replace(/--mount=type=tmpfs\S+ /, '')), mayBeSilent: true };
  },

  'mount it elsewhere': (state, pick, fresh) => {
    const [index, line] = pick(linesOf(state, /^RUN .*--mount=type=(tmpfs|cache)\S*,target=\/(tmp|c)\b/)) ?? [];
    if (index === undefined || line === undefined || / \/c\//.test(line)) return undefined;
    return lineChange(state, index, line.replace(/(,target=)[^,\s]+/, `$1/tmp/${fresh()}`));
  },

  'mount it to be written to, or no more': (state, pick) => {
    const [index, line] = pick(linesOf(state, /^RUN --mount=(from=|type=bind)/)) ?? [];
    if (index === undefined || line === undefined) return undefined;
    const changed = line.includes(',rw') ? line.replace(',rw', '') : line.replace(/(--mount=\S+)/, '$1,rw');
    return { ...lineChange(state, index, changed), mayBeSilent: true };
  },

  'mount another directory': (state, pick) => {
    const [index, line] = pick(linesOf(state, /^RUN --mount=type=bind,source=src,/)) ?? [];
    if (index === undefined || line === undefined || line.includes('main.ts')) return undefined;
    return { ...lineChange(state, index, line.replace('source=src,', 'source=src/lib,')), isLast: true };
  },

  'share a cache mount another way': (state, pick) => {
    const [index, line] = pick(linesOf(state, /^RUN .*sharing=(locked|private)/)) ?? [];
    if (index === undefined || line === undefined) return undefined;
    const [from, to] = line.includes('locked') ? ['locked', 'private'] : ['private', 'locked'];
    return silent(`sharing=${to} in line ${index + 1}`, () => replaceLine(state, index, line.replace(from, to)));
  },

  'add a COPY': (state, pick, fresh) => {
    const [index] = pick(linesOf(state, /^RUN/)) ?? [];
    const path = pick(state.entry.reads.filter(one => state.files.has(one) && isRead(state.entry, one)));
    if (index === undefined || path === undefined) return undefined;
    const line = `COPY ${path} /c${fresh()}`;
    return {
      what: `add ${line} at line ${index + 1}`,
      apply: () => {
        state.lines = state.lines.toSpliced(index, 0, line);
      },
      about: [line],
      isCause: ofDockerfile(state, isInstruction(line, 'added')),
    };
  },
};
