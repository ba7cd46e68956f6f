import { readdirSync, realpathSync, rmSync, statfsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type ContentChecksums, contentChecksums } from '../../store/snapshot/checksum.ts';
import { openRecordCache, type RecordCache } from '../../store/snapshot/checksum-cache.ts';
import { type ContextRecords, fileRecords } from '../../store/snapshot/checksum-records.ts';
import { contextTree, filteredTree } from '../../store/snapshot/file-tree-context.ts';
import type { FrozenTree } from '../../store/snapshot/file-tree-node.ts';
import { type ListingCache, openListingCache } from '../../store/snapshot/listing-cache.ts';
import type { TransferFilter } from '../../wire/fsutil/filter-tree.ts';
import { digestOf, hexOf } from '../../wire/oci/digest.ts';
import type { SourceRequest } from '../ops/op-context.ts';
import type { Ref } from '../ops/ref.ts';
import type { Op } from '../solver/op.ts';
import { localKey, parseLocalSource } from './local-key.ts';
import { SourceError, sourceCacheMap } from './source-key.ts';
import type { SourceProgress } from './source-progress.ts';

/**
 * The directories of the client as one build sees them: each is read where it lies, and what was read once stays as it was
 * for the rest of the build, whichever step asks. Digests of unchanged files are kept between builds. Disposing writes them
 * down.
 */
export interface LocalContexts extends Disposable {
  /** The files of a directory that a filter leaves. Throws NoDirectoryError and PatternSyntaxError. */
  open(directory: string, filter: TransferFilter): ContentChecksums;
}

/** How long digests of a directory are kept that nothing changes in and nobody builds. */
const KEPT_MS = 90 * 24 * 3600 * 1000;

/**
 * File systems without a ctime of their own (FAT and exFAT, SMB, 9P, FUSE): there an edit that puts the mtime back cannot be
 * told, so nothing is kept of them. By the magic number that statfs(2) gives.
 */
const WITHOUT_CTIME: ReadonlySet<number> = new Set([
  0x4d44, 0x2011bab0, 0x517b, 0xff534d42, 0xfe534d42, 0x01021997, 0x65735546,
]);

/** How directories are looked at. */
export interface LocalContextsOptions {
  /**
   * Files are hashed one by one, so that each can be named afterwards: for what is explained and not kept in the history. Only
   * a build that is kept may leave digests of whole directories behind, whose files nobody names again.
   */
  readonly namesFiles?: boolean;
  /** Names at the top of each directory that are not there. */
  readonly hidden?: readonly string[];
}

/** Opens the local directories for a build. @param state where digests are kept */
export function openLocalContexts(
  state: string,
  { namesFiles = false, hidden = [] }: LocalContextsOptions = {},
): LocalContexts {
  interface Context {
    readonly tree: FrozenTree;
    readonly records: ContextRecords;
    /** Where something is kept of it: a path to which more is added. */
    readonly file: string | undefined;
    readonly views: Map<string, ContentChecksums>;
  }
  const contexts = new Map<string, Context>();
  const caches: (RecordCache | ListingCache)[] = [];

  function openContext(path: string): Context {
    const tree = contextTree(path);
    const file = hasCtime(path) ? join(state, `context-${hexOf(digestOf(path)).slice(0, 32)}`) : undefined;
    const cache = file === undefined ? undefined : openRecordCache(file, { openedAt: tree.openedAt });
    if (cache !== undefined) caches.push(cache);
    const { device } = tree.root.status;
    // What is mounted below may be of another kind.
    const records = fileRecords(tree, {
      view: 'transfer',
      cache: node => (node.status.device === device ? cache : undefined),
    });
    return { tree, records, file, views: new Map() };
  }

  function openView({ tree, records, file }: Context, filter: TransferFilter, key: string): ContentChecksums {
    const path = file && `${file}-${hexOf(digestOf(key)).slice(0, 32)}`;
    const directories = path === undefined || namesFiles ? undefined : openListingCache({ tree, records, path });
    if (directories !== undefined) caches.push(directories);
    return contentChecksums(filteredTree(tree, filter), {
      view: 'transfer',
      records,
      ...(directories === undefined ? {} : { directories }),
    });
  }

  return {
    open: (directory, asked) => {
      const filter =
        hidden.length === 0 ? asked : { ...asked, excludePatterns: [...(asked.excludePatterns ?? []), ...hidden] };
      const path = realpathSync(directory);
      const context = contexts.get(path) ?? openContext(path);
      contexts.set(path, context);
      const key = JSON.stringify([filter.includePatterns, filter.excludePatterns, filter.followPaths]);
      const known = context.views.get(key);
      if (known !== undefined) return known;
      const view = openView(context, filter, key);
      context.views.set(key, view);
      return view;
    },
    [Symbol.dispose]: () => {
      for (const cache of caches) cache.save();
      removeOld(state);
    },
  };
}

function hasCtime(path: string): boolean {
  return !WITHOUT_CTIME.has(statfsSync(path).type >>> 0);
}

function removeOld(state: string): void {
  try {
    for (const name of readdirSync(state)) {
      const path = join(state, name);
      if (name.startsWith('context-') && statSync(path).mtimeMs < Date.now() - KEPT_MS) rmSync(path);
    }
  } catch {
    // Nothing was ever kept, or another process was faster.
  }
}

/** What local sources need. */
export interface LocalSourceOptions {
  readonly contexts: LocalContexts;
  /** The directories that the client offers, by the name that sources ask for them with. */
  readonly directories: ReadonlyMap<string, string>;
  /** An id of this build: it makes the key one that no other build ever finds. */
  readonly session: string;
}

/** The step that a `local://` source is. Its result is the directory itself; nothing is copied. */
export function localOp(request: SourceRequest, options: LocalSourceOptions, progress: SourceProgress): Op<Ref> {
  const source = parseLocalSource(request.identifier, request.attrs);
  return {
    async cacheMap() {
      return { map: sourceCacheMap(localKey(source, options.session)), done: true };
    },
    async exec() {
      const { directoryName: name, filter } = source;
      const directory = options.directories.get(name);
      if (directory === undefined) throw new SourceError(`no access allowed to dir "${name}"`);
      if (source.metadataOnly) throw new SourceError(`local source ${name}: metadata-only transfers are not supported`);
      return progress.step(`transferring ${name}:`, async () => {
        const contents = options.contexts.open(directory, filter);
        return [{ kind: 'local', name, contents }];
      });
    },
  };
}
