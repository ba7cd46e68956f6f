/** What a build is made of, as the mutation test has it, and a generator of random choices that a seed decides. */
import type { BuildRequest } from '../../src/entry/builder/request.ts';
import type { CorpusEntry, CorpusFile } from './corpus.ts';
import type { Mutation } from './mutation.ts';

/** Flags of the next build only. */
interface Flags {
  readonly noCache?: 'all' | string[];
  readonly addHosts?: string[];
  readonly ulimits?: string[];
  readonly platform?: string;
  readonly label?: string;
  readonly network?: string;
  readonly shmSize?: number;
  /** A build argument of this build only. */
  readonly arg?: readonly [string, string];
  readonly others?: Partial<BuildRequest>;
}

export interface State {
  readonly entry: CorpusEntry;
  readonly files: Map<string, CorpusFile>;
  /** Directories that were made for themselves, or have a mode of their own. */
  readonly directories: Map<string, string>;
  lines: string[];
  readonly args: Map<string, string>;
  /** The tags of the images that the names `base` and `other` stand for. */
  readonly tags: { base: string; other: string };
  target: string | undefined;
  /** Undefined where none is given. */
  secret: string | undefined;
  /** The files of the named context `extra`, where it lies, and the tag of the image that takes its place. */
  readonly extra: Map<string, CorpusFile>;
  extraDir: string;
  extraTag: string | undefined;
  /** The name of the directory of the context. */
  place: string;
  /** What is downloaded. */
  download: string;
  flags: Flags;
  /** Files whose times are set anew without any other change. */
  touched: string[];
  /** Files whose times are put back to what they were after they are written. */
  backdated: string[];
  prune: boolean;
  /** Something was built for another platform. */
  isForeign: boolean;
  /** Something was built without network. */
  isCutOff: boolean;
  /** What was changed before. */
  readonly made: Mutation[];
  /** The next build fails. */
  fails: boolean;
}

export function initialState(entry: CorpusEntry): State {
  return {
    entry,
    files: new Map(Object.entries(entry.files)),
    directories: new Map(),
    lines: entry.dockerfile.split('\n'),
    args: new Map(Object.entries(entry.args ?? {})),
    tags: { base: 'latest', other: 'layer' },
    target: entry.target,
    secret: 'first',
    extra: new Map(Object.entries(entry.extra ?? {})),
    extraDir: 'extra',
    extraTag: undefined,
    place: 'context',
    download: 'first\n',
    flags: {},
    touched: [],
    backdated: [],
    prune: false,
    isForeign: false,
    isCutOff: false,
    made: [],
    fails: false,
  };
}

/** One of a list, undefined of an empty one. */
export type Picker = <T>(list: readonly T[]) => T | undefined;

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
