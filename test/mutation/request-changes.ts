/** Changes to what a build is given besides its files and its Dockerfile: arguments, images, flags, what the root holds. */
import {
  isContent,
  isFile,
  isRecord,
  isVariable,
  lineChange,
  linesOf,
  type Maker,
  replaceLine,
  silent,
} from './mutation.ts';
import { isFreeArgument } from './stage-changes.ts';

export const requestChanges: Readonly<Record<string, Maker>> = {
  'change a build argument': (state, pick, fresh) => {
    const name = pick(state.lines.flatMap(line => /^ARG (\w+)/.exec(line)?.[1] ?? []).filter(isFreeArgument));
    if (name === undefined) return undefined;
    const value = `/${fresh()}`;
    return {
      what: `--build-arg ${name}=${value}`,
      apply: () => state.args.set(name, value),
      about: [name],
      isCause: isVariable('ARG', name, value),
    };
  },

  'give a build argument that nothing declares': (state, _, fresh) =>
    silent('--build-arg of nothing', () => state.args.set(`NOTHING_${fresh()}`, '1')),

  'choose another base by argument': state => {
    if (!state.lines.some(line => line.startsWith('ARG FLAVOUR'))) return undefined;
    const value = state.args.get('FLAVOUR') === 'other' ? 'base' : 'other';
    return {
      what: `--build-arg FLAVOUR=${value}`,
      apply: () => state.args.set('FLAVOUR', value),
      about: ['FLAVOUR'],
      isCause: isVariable('ARG', 'FLAVOUR', value),
      mayBeSilent: true,
    };
  },

  'move the base image': (state, pick) => {
    const isUsed = state.lines.some(line => /^FROM base\b|^ARG FLAVOUR/.test(line));
    if (!isUsed || state.args.get('FLAVOUR') === 'other') return undefined;
    const tag = pick(['latest', 'layer', 'env', 'label'].filter(one => one !== state.tags.base)) ?? 'latest';
    return {
      what: `base names ${tag}`,
      apply: () => {
        state.tags.base = tag;
      },
      about: [],
      isCause: cause => cause.kind === 'base' && cause.reference.endsWith('/base') && cause.before !== cause.after,
      mayBeSilent: true,
    };
  },

  'move an image that is copied from': (state, pick) => {
    if (!state.lines.some(line => /from=other/.test(line))) return undefined;
    const tag = pick(['latest', 'layer', 'env'].filter(one => one !== state.tags.other)) ?? 'latest';
    return {
      what: `other names ${tag}`,
      apply: () => {
        state.tags.other = tag;
      },
      about: [],
      isCause: cause => cause.kind === 'base' && cause.reference.endsWith('/other') && cause.before !== cause.after,
      mayBeSilent: true,
    };
  },

  'change a download': (state, _, fresh) => {
    if (!state.lines.some(line => line.includes('{server}'))) return undefined;
    const text = `${fresh()}\n`;
    return {
      what: 'the download is another',
      apply: () => {
        state.download = text;
      },
      about: [],
      isCause: cause => cause.kind === 'source' && cause.name.endsWith('/pkg.txt') && cause.before !== cause.after,
    };
  },

  'change a secret': (state, _, fresh) => {
    if (!state.lines.some(line => line.includes('type=secret'))) return undefined;
    return silent('another secret', () => {
      state.secret = fresh();
    });
  },

  'run without cache': state => ({
    what: '--no-cache',
    apply: () => {
      state.flags = { noCache: 'all' };
    },
    about: [],
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
      about: [],
      isCause: isRecord('no-cache'),
      mayBeSilent: true,
    };
  },

  'add a host': (state, _, fresh) => ({
    what: '--add-host',
    apply: () => {
      state.flags = { addHosts: [`h${fresh()}=10.0.0.1`] };
    },
    about: [],
    isCause: cause => cause.kind === 'option' && cause.name === '--add-host',
    isOfBuild: true,
    mayBeSilent: true,
  }),

  'set a limit': (state, _, fresh) => {
    const count = 100 + (Number.parseInt(fresh(), 36) % 900);
    return {
      what: `--ulimit nofile=${count}`,
      apply: () => {
        state.flags = { ulimits: [`nofile=${count}`] };
      },
      about: [],
      isCause: cause => cause.kind === 'option' && cause.name === '--ulimit',
      isOfBuild: true,
      mayBeSilent: true,
    };
  },

  'build for another platform': state => {
    // A second build for it is compared with the first one.
    if (state.entry.platforms !== undefined || state.isForeign) return undefined;
    return {
      what: '--platform linux/386',
      apply: () => {
        state.flags = { platform: 'linux/386' };
        state.isForeign = true;
      },
      about: [],
      isCause: cause => cause.kind === 'platform' && cause.after === 'linux/386',
      isOfBuild: true,
      mayBeSilent: true,
    };
  },

  'add a label by flag': (state, _, fresh) =>
    silent('--label', () => {
      state.flags = { label: fresh() };
    }),

  'build another target': (state, pick) => {
    if (state.target === undefined) return undefined;
    const names = state.lines.flatMap(line => /^FROM .* AS (\w+)/.exec(line)?.[1] ?? []);
    const target = pick(names.filter(name => name !== state.target));
    if (target === undefined) return undefined;
    return {
      what: `--target ${target}`,
      apply: () => {
        state.target = target;
      },
      about: [],
      // What was built for it last is older than the changes since.
      isCause: cause => isRecord('never-built')(cause) || state.made.some(one => one.isCause(cause)),
      mayBeSilent: true,
    };
  },

  'cut the build off from the network': state => {
    // A second build without network is compared with the first one.
    if (state.isCutOff) return undefined;
    return {
      what: '--network none',
      apply: () => {
        state.flags = { network: 'none' };
        state.isCutOff = true;
      },
      about: [],
      isCause: cause => cause.kind === 'option' && cause.name === '--network',
      isOfBuild: true,
      mayBeSilent: true,
    };
  },

  'set the size of shared memory': (state, _, fresh) => ({
    what: '--shm-size',
    apply: () => {
      state.flags = { shmSize: 2 ** 20 * (1 + (Number.parseInt(fresh(), 36) % 100)) };
    },
    about: [],
    isCause: cause => cause.kind === 'option' && cause.name === '--shm-size',
    isOfBuild: true,
    mayBeSilent: true,
  }),

  'name the host of the steps': (state, _, fresh) => ({
    what: '--build-arg BUILDKIT_SANDBOX_HOSTNAME',
    apply: () => {
      state.flags = { arg: ['BUILDKIT_SANDBOX_HOSTNAME', `h${fresh()}`] };
    },
    about: [],
    isCause: cause => cause.kind === 'option' && cause.name === 'BUILDKIT_SANDBOX_HOSTNAME',
    isOfBuild: true,
    mayBeSilent: true,
  }),

  'give a proxy': (state, pick, fresh) =>
    silent('--build-arg of a proxy', () => {
      state.flags = { arg: [pick(['HTTP_PROXY', 'no_proxy']) ?? '', `http://${fresh()}`] };
    }),

  'give flags that no key holds': (state, pick, fresh) => {
    const flags = pick([
      { tags: [`t${fresh()}`] },
      { pull: true },
      { attests: new Map([['provenance', 'mode=max']]) },
      { attests: new Map([['sbom', 'disabled=true']]) },
      { coldMounts: true as const },
      { outputs: [{ type: 'image' as const, attributes: { name: `n${fresh()}` } }] },
    ]);
    return silent(`flags ${Object.keys(flags ?? {})}`, () => {
      state.flags = { others: flags ?? {} };
    });
  },

  'give a build argument no more': (state, pick) => {
    const name = pick([...state.args.keys()].filter(one => isFreeArgument(one) && !one.startsWith('NOTHING')));
    if (name === undefined) return undefined;
    return {
      what: `no --build-arg ${name}`,
      apply: () => state.args.delete(name),
      about: [name],
      isCause: isVariable('ARG', name),
      mayBeSilent: true,
    };
  },

  'give no secret, or again': state => {
    if (!state.lines.some(line => line.includes('type=secret'))) return undefined;
    return silent('the presence of a secret', () => {
      state.secret = state.secret === undefined ? 'again' : undefined;
    });
  },

  'edit a file of a named directory': (state, pick, fresh) => {
    const [path, file] = pick([...state.extra]) ?? [];
    if (path === undefined || file === undefined || state.extraTag !== undefined) return undefined;
    return {
      what: `edit ${path} of the context extra`,
      apply: () => state.extra.set(path, { ...file, text: `${file.text}${fresh()}\n` }),
      about: [`extra ${path}`],
      isCause: isFile(path, isContent),
    };
  },

  'name another directory': (state, pick, fresh) => {
    if (state.extra.size === 0 || state.extraTag !== undefined) return undefined;
    return {
      what: '--build-context extra=another',
      apply: () => {
        state.extraDir = `extra-${fresh()}`;
        const [path, file] = pick([...state.extra]) ?? [];
        if (path && file) state.extra.set(path, { ...file, text: `${file.text}${fresh()}\n` });
      },
      about: ['extra'],
      isCause: cause =>
        (cause.kind === 'file' && state.extra.has(cause.path) && isContent(cause)) ||
        (cause.kind === 'option' && cause.name === '--build-context extra'),
    };
  },

  'name an image in the place of a directory': state => {
    if (state.extra.size === 0) return undefined;
    return {
      what: '--build-context extra=oci-layout://…',
      apply: () => {
        state.extraTag = 'layer';
      },
      about: ['extra'],
      isCause: cause => cause.kind === 'option' && cause.name === '--build-context extra',
      isLast: true,
    };
  },

  'build in another place': (state, _, fresh) =>
    silent('the same context elsewhere', () => {
      state.place = `place-${fresh()}/context`;
    }),

  'break an instruction': (state, pick, fresh) => {
    const [index, line] = pick(linesOf(state, /^RUN echo v\w+/)) ?? [];
    if (index === undefined || line === undefined || line.endsWith('\\') || state.entry.inContext) return undefined;
    const broken = `${line.replace(/\bv\w+/, `v${fresh()}`)}; false`;
    return {
      what: `line ${index + 1}, ${line}, becomes ${broken}`,
      apply: () => {
        replaceLine(state, index, broken);
        state.fails = true;
      },
      about: [line, broken],
      isCause: cause => cause.kind === 'instruction' && cause.change === 'changed' && cause.after === broken,
      mayBeSilent: true,
    };
  },

  // Made after each broken one, and never else.
  'mend an instruction': (state, _, fresh) => {
    const [index, line] = linesOf(state, /^RUN .*; false$/)[0] ?? [];
    if (index === undefined || line === undefined) return undefined;
    return lineChange(state, index, line.replace('; false', '').replace(/\bv\w+/, `v${fresh()}`));
  },

  prune: state => ({
    what: 'prune everything',
    apply: () => {
      state.prune = true;
    },
    about: [],
    isCause: isRecord('pruned'),
    isLast: true,
  }),
};
