/** Changes to files of a build context. */
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
    return path === undefined ? undefined : fileRemoval(state, path);
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

  'add a file of a name that is not plain': (state, pick, fresh) => {
    const directory = directoryOf(state, pick);
    if (directory === undefined) return undefined;
    const path = `${directory}/new-é ${fresh()} #"$x.ts`;
    return {
      what: `add ${path}`,
      apply: () => state.files.set(path, { text: `${path}\n`, mode: '0644' }),
      about: [path],
      isCause: isFile(path, ({ change }) => change === 'added'),
    };
  },

  'copy a file': (state, pick, fresh) => {
    const directory = directoryOf(state, pick);
    const [from, file] = pick(filesOf(state, one => isRead(state.entry, one))) ?? [];
    if (directory === undefined || file === undefined) return undefined;
    const path = `${directory}/new-${fresh()}.ts`;
    return {
      what: `cp ${from} ${path}`,
      apply: () => state.files.set(path, file),
      about: [path, from ?? ''],
      isCause: isFile(path, ({ change }) => change === 'added'),
    };
  },

  'empty a file': (state, pick) => {
    const isIt = (one: string) => isMade(one) && isRead(state.entry, one) && state.files.get(one)?.text !== '';
    const [path, file] = pick(filesOf(state, isIt)) ?? [];
    if (path === undefined || file === undefined) return undefined;
    return {
      what: `empty ${path}`,
      apply: () => state.files.set(path, { ...file, text: '' }),
      about: [path],
      isCause: isFile(path, isContent),
      mayBeSilent: true,
    };
  },

  'rename a file over another one': (state, pick) => {
    const [path, file] = pick(filesOf(state, one => isMade(one) && isRead(state.entry, one))) ?? [];
    const isOther = (one: string) => one !== path && isMade(one) && isRead(state.entry, one);
    const [onto, old] = pick(filesOf(state, isOther)) ?? [];
    if (path === undefined || file === undefined || onto === undefined || old === undefined) return undefined;
    if (file.xattr !== old.xattr) return undefined;
    const isGone = isFile(path, ({ change }) => change === 'removed');
    const aspects = [old.text === file.text ? '' : 'content', old.mode === file.mode ? '' : 'mode'].filter(Boolean);
    const isChanged = isFile(onto, cause => cause.change === 'changed' && cause.aspects.join() === aspects.join());
    return {
      what: `mv ${path} ${onto}`,
      apply: () => {
        state.files.delete(path);
        state.files.set(onto, file);
      },
      about: [path, onto],
      isCause: cause => isGone(cause) || isChanged(cause),
      mayBeSilent: true,
    };
  },

  'swap two files': (state, pick) => {
    const files = filesOf(state, one => isRead(state.entry, one));
    const [[path, file] = [], [other, second] = []] = [pick(files), pick(files)];
    if (path === undefined || other === undefined || file === undefined || second === undefined) return undefined;
    if (file.text === second.text || file.xattr !== second.xattr) return undefined;
    const aspects = file.mode === second.mode ? 'content' : 'content,mode';
    const isSwapped = ({ change, aspects: found }: { change: string; aspects: readonly string[] }) =>
      change === 'changed' && found.join() === aspects;
    const [isOne, isOther] = [isFile(path, isSwapped), isFile(other, isSwapped)];
    return {
      what: `swap ${path} and ${other}`,
      apply: () => {
        state.files.set(path, second);
        state.files.set(other, file);
      },
      about: [path, other],
      isCause: cause => isOne(cause) || isOther(cause),
      mayBeSilent: true,
    };
  },

  'change an extended attribute': (state, pick, fresh) => {
    // A second change of it cannot be told from one of the content.
    const isPlain = (one: string) => isRead(state.entry, one) && state.files.get(one)?.xattr === undefined;
    const [path, file] = pick(filesOf(state, isPlain)) ?? [];
    if (path === undefined || file === undefined) return undefined;
    return {
      what: `an extended attribute of ${path}`,
      apply: () => state.files.set(path, { ...file, xattr: fresh() }),
      about: [path],
      isCause: isFile(path, isAspect('extended attributes')),
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
};
