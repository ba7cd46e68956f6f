/** Changes to the files of a build context. */
import { filesOf, isAspect, isContent, isFile, isRead, type Maker, silent } from './mutation.ts';
import type { State } from './state.ts';

const isMade = (path: string) => path.includes('/new-');

/** A directory of sources that steps read as a whole. */
function directoryOf(state: State, pick: <T>(list: readonly T[]) => T | undefined): string | undefined {
  const [beside] = pick(filesOf(state, one => one.startsWith('src/'))) ?? [];
  const directory = beside?.slice(0, beside.lastIndexOf('/'));
  return directory !== undefined && isRead(state.entry, `${directory}/new-`) ? directory : undefined;
}

export const fileChanges: Readonly<Record<string, Maker>> = {
  'edit a file': (state, pick, fresh) => {
    const [path, file] = pick(filesOf(state, one => isRead(state.entry, one))) ?? [];
    if (path === undefined || file === undefined) return undefined;
    const text = `${file.text}${fresh()}\n`;
    return {
      what: `edit ${path}`,
      apply: () => state.files.set(path, { ...file, text }),
      about: [path],
      isCause: isFile(path, isContent),
    };
  },

  'edit a file, its size and time as before': (state, pick, fresh) => {
    const [path, file] = pick(filesOf(state, one => isRead(state.entry, one))) ?? [];
    const word = fresh();
    if (path === undefined || file === undefined) return undefined;
    const text = `${word}${file.text}`.slice(0, Math.max(file.text.length, word.length));
    return {
      what: `edit ${path}, its size and time as before`,
      apply: () => {
        state.files.set(path, { ...file, text });
        state.backdated.push(path);
      },
      about: [path],
      isCause: isFile(path, isContent),
    };
  },

  'edit a file and change its mode': (state, pick, fresh) => {
    const [path, file] = pick(filesOf(state, one => isRead(state.entry, one))) ?? [];
    if (path === undefined || file === undefined) return undefined;
    const mode = file.mode === '0600' ? '0640' : '0600';
    return {
      what: `edit ${path} and chmod it to ${mode}`,
      apply: () => state.files.set(path, { ...file, text: `${file.text}${fresh()}\n`, mode }),
      about: [path],
      isCause: isFile(path, ({ aspects, atLeast }) => aspects.join() === 'content,mode' && !atLeast),
    };
  },

  'change a mode': (state, pick) => {
    const [path, file] = pick(filesOf(state, one => isRead(state.entry, one))) ?? [];
    if (path === undefined || file === undefined) return undefined;
    const mode = pick(['0600', '0640', '0644', '0755', '0700'].filter(one => one !== file.mode)) ?? '0600';
    return {
      what: `chmod ${mode} ${path}`,
      apply: () => state.files.set(path, { ...file, mode }),
      about: [path],
      isCause: isFile(path, cause => isAspect('mode')(cause) && cause.after?.mode === mode),
      mayBeSilent: true,
    };
  },

  'change an owner': (state, pick) => {
    const [path, file] = pick(filesOf(state, () => true)) ?? [];
    if (path === undefined || file === undefined) return undefined;
    const owner = (file.owner ?? 0) + 1;
    return silent(`chown ${owner} ${path}`, () => state.files.set(path, { ...file, owner }));
  },

  'add a file': (state, pick, fresh) => {
    const directory = directoryOf(state, pick);
    if (directory === undefined) return undefined;
    const path = `${directory}/new-${fresh()}.ts`;
    return {
      what: `add ${path}`,
      apply: () => state.files.set(path, { text: `${path}\n`, mode: '0644' }),
      about: [path],
      isCause: isFile(path, ({ change }) => change === 'added'),
    };
  },

  'remove a file': (state, pick) => {
    const [path] = pick(filesOf(state, one => isMade(one) && isRead(state.entry, one))) ?? [];
    if (path === undefined) return undefined;
    return {
      what: `remove ${path}`,
      apply: () => state.files.delete(path),
      about: [path],
      isCause: isFile(path, ({ change }) => change === 'removed'),
      mayBeSilent: true,
    };
  },

  'rename a file': (state, pick, fresh) => {
    const [path, file] = pick(filesOf(state, one => isMade(one) && isRead(state.entry, one))) ?? [];
    if (path === undefined || file === undefined) return undefined;
    const to = `${path.slice(0, path.lastIndexOf('/'))}/new-${fresh()}.ts`;
    return {
      what: `rename ${path} to ${to}`,
      apply: () => {
        state.files.delete(path);
        state.files.set(to, file);
      },
      about: [path, to],
      isCause: isFile(to, ({ change, renamedFrom }) => change === 'renamed' && renamedFrom === path),
    };
  },

  'put a directory in the place of a file': (state, pick, fresh) => {
    const [path] = pick(filesOf(state, one => isMade(one) && isRead(state.entry, one))) ?? [];
    if (path === undefined) return undefined;
    const inside = `${path}/new-${fresh()}.ts`;
    const isItself = isFile(path, isAspect('type'));
    const isInside = isFile(inside, ({ change }) => change === 'added');
    return {
      what: `a directory in the place of ${path}`,
      apply: () => {
        state.files.delete(path);
        state.files.set(inside, { text: `${inside}\n`, mode: '0644' });
      },
      about: [path],
      isCause: cause => isItself(cause) || isInside(cause),
    };
  },

  'add a directory': (state, pick, fresh) => {
    const directory = directoryOf(state, pick);
    if (directory === undefined) return undefined;
    const path = `${directory}/dir-${fresh()}`;
    return {
      what: `mkdir ${path}`,
      apply: () => state.directories.set(path, '0755'),
      about: [path],
      isCause: isFile(path, ({ change, after }) => change === 'added' && after?.type === 'directory'),
    };
  },

  'change the mode of a directory': (state, pick) => {
    const path = pick(['src/lib', ...state.directories.keys()]);
    const isThere = [...state.files.keys(), ...state.directories.keys()].some(one => `${one}/`.startsWith(`${path}/`));
    if (path === undefined || !isThere || !isRead(state.entry, path)) return undefined;
    const mode = pick(['0700', '0750', '0755'].filter(one => one !== (state.directories.get(path) ?? '0755'))) ?? '0';
    return {
      what: `chmod ${mode} ${path}`,
      apply: () => state.directories.set(path, mode),
      about: [path],
      isCause: isFile(path, cause => isAspect('mode')(cause) && cause.after?.mode === mode),
      mayBeSilent: true,
    };
  },

  'add a link': (state, pick, fresh) => {
    const directory = directoryOf(state, pick);
    if (directory === undefined || state.entry.hasExclude) return undefined;
    const path = `${directory}/link-${fresh()}`;
    return {
      what: `link ${path}`,
      apply: () => state.files.set(path, { text: '', link: `to-${fresh()}`, mode: '0777' }),
      about: [path],
      isCause: isFile(path, ({ change, after }) => change === 'added' && after?.type === 'symlink'),
    };
  },

  'change the target of a link': (state, pick, fresh) => {
    const [path, file] = pick([...state.files].filter(([, { link }]) => link !== undefined)) ?? [];
    if (path === undefined || file === undefined || !isRead(state.entry, path)) return undefined;
    const link = `to-${fresh()}`;
    return {
      what: `link ${path} to ${link}`,
      apply: () => state.files.set(path, { ...file, link }),
      about: [path],
      isCause: isFile(path, cause => isAspect('target')(cause) && cause.after?.value === link),
    };
  },

  'touch a file': (state, pick) => {
    const [path] = pick(filesOf(state, () => true)) ?? [];
    return path === undefined ? undefined : silent(`touch ${path}`, () => state.touched.push(path));
  },

  'edit a file that nothing reads': (state, pick, fresh) => {
    const [path, file] = pick(filesOf(state, one => one !== '.dockerignore' && !isRead(state.entry, one))) ?? [];
    if (path === undefined || file === undefined) return undefined;
    const text = `${file.text}${fresh()}\n`;
    return silent(`edit ${path}, which nothing reads`, () => state.files.set(path, { ...file, text }));
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
      about: [path],
      isCause: cause => isIgnored(cause) || isItself(cause),
      isLast: true,
    };
  },

  'stop ignoring a file': state => {
    const ignore = state.files.get('.dockerignore');
    if (ignore === undefined || !ignore.text.includes('*.log\n')) return undefined;
    const isSeen = isFile('debug.log', cause => cause.change === 'added' && cause.ignore === true);
    const isItself = isFile('.dockerignore', isContent);
    return {
      what: 'ignore *.log no more',
      apply: () => state.files.set('.dockerignore', { ...ignore, text: ignore.text.replace('*.log\n', '') }),
      about: ['.dockerignore'],
      isCause: cause => isSeen(cause) || isItself(cause),
      isLast: true,
    };
  },
};
