/** Changes to the directories and links of a build context, to what files are, and to what is ignored. */

import type { CorpusFile } from './corpus.ts';
import {
  directoryOf,
  fileRemoval,
  filesOf,
  isAspect,
  isContent,
  isFile,
  isMade,
  isRead,
  type Maker,
  silent,
} from './mutation.ts';
import type { State } from './state.ts';

export const treeChanges: Readonly<Record<string, Maker>> = {
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

  'put a file in the place of a directory': (state, pick) => {
    const path = pick([...state.directories.keys()].filter(one => isEmpty(state, one)));
    if (path === undefined || !isRead(state.entry, path)) return undefined;
    return {
      what: `a file in the place of ${path}`,
      apply: () => {
        state.directories.delete(path);
        state.files.set(path, { text: `${path}\n`, mode: '0644' });
      },
      about: [path],
      isCause: isFile(path, isAspect('type')),
      mayBeSilent: true,
    };
  },

  'put a link in the place of a file': (state, pick, fresh) => {
    const [path] = pick(filesOf(state, one => isMade(one) && isRead(state.entry, one))) ?? [];
    if (path === undefined || state.entry.hasExclude) return undefined;
    return {
      what: `a link in the place of ${path}`,
      apply: () => state.files.set(path, { text: '', link: `to-${fresh()}`, mode: '0777' }),
      about: [path],
      isCause: isFile(path, isAspect('type')),
    };
  },

  'put a file in the place of a link': (state, pick, fresh) => {
    const [path] = pick(linksOf(state)) ?? [];
    if (path === undefined) return undefined;
    return {
      what: `a file in the place of ${path}`,
      apply: () => state.files.set(path, { text: fresh(), mode: '0644' }),
      about: [path],
      isCause: isFile(path, isAspect('type')),
    };
  },

  'remove a link': (state, pick) => {
    const [path] = pick(linksOf(state)) ?? [];
    return path === undefined ? undefined : fileRemoval(state, path);
  },

  'add a hard link': (state, pick, fresh) => {
    const directory = directoryOf(state, pick);
    const [to, file] = pick(filesOf(state, () => true)) ?? [];
    if (directory === undefined || file === undefined || to === undefined) return undefined;
    const path = `${directory}/new-${fresh()}.ts`;
    return {
      what: `hard link ${path} to ${to}`,
      apply: () => state.files.set(path, { ...file, hardLink: to }),
      about: [path, to],
      isCause: isFile(path, ({ change }) => change === 'added'),
    };
  },

  'remove a directory': (state, pick) => {
    const path = pick([...state.directories.keys()].filter(one => isEmpty(state, one)));
    if (path === undefined || !isRead(state.entry, path)) return undefined;
    return {
      what: `rmdir ${path}`,
      apply: () => state.directories.delete(path),
      about: [path],
      isCause: isFile(path, ({ change }) => change === 'removed'),
      mayBeSilent: true,
    };
  },

  'rename a directory': (state, pick, fresh) => {
    const path = pick([...state.directories.keys()].filter(one => isEmpty(state, one)));
    const mode = path && state.directories.get(path);
    if (path === undefined || mode === undefined || !isRead(state.entry, path)) return undefined;
    const to = path.replace(/[^/]+$/, `dir-${fresh()}`);
    const isOld = isFile(path, ({ change }) => change === 'removed');
    const isNew = isFile(to, ({ change }) => change === 'added');
    return {
      what: `mv ${path} ${to}`,
      apply: () => {
        state.directories.delete(path);
        state.directories.set(to, mode);
      },
      about: [path, to],
      isCause: cause => isOld(cause) || isNew(cause),
    };
  },

  'touch a directory': (state, pick) => {
    const path = pick(['src', ...state.directories.keys()].filter(one => !isEmpty(state, one)));
    return path === undefined ? undefined : silent(`touch ${path}`, () => state.touched.push(path));
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

  'say to ignore what is not there': (state, _, fresh) => {
    const ignore = state.files.get('.dockerignore');
    if (ignore === undefined) return undefined;
    const change = silent('ignore what is not there', () =>
      state.files.set('.dockerignore', { ...ignore, text: `${ignore.text}# why\nnothing-${fresh()}\n` }),
    );
    if (ignore.text.includes('.dockerignore\n')) return change;
    return { what: change.what, apply: change.apply, about: [], isCause: isFile('.dockerignore', isContent) };
  },
};

function isEmpty({ files, directories }: State, path: string): boolean {
  return ![...files.keys(), ...directories.keys()].some(one => one.startsWith(`${path}/`));
}

function linksOf(state: State): (readonly [string, CorpusFile])[] {
  return [...state.files].filter(([path, { link }]) => link && isRead(state.entry, path));
}
