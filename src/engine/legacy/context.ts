/** The build context as clients of the legacy builder send it. */
import { readFileSync } from 'node:fs';
import { posix } from 'node:path';
import { IgnoreFileError, readIgnoreFile } from '../../plan/dockerfile/ignore-file.ts';
import { encodeTarHeader, roundUp, TAR_END, TarType } from '../../store/content/tar-header.ts';
import { resolvePath } from '../../store/snapshot/file-tree.ts';
import { filteredTree } from '../../store/snapshot/file-tree-context.ts';
import { systemPath, toBytePath } from '../../wire/fsutil/byte-path.ts';
import { walkTree } from '../../wire/fsutil/tree.ts';
import type { SourceFiles } from './copy-sources.ts';
import { LegacyBuildError, messageOf } from './error.ts';
import { legacyRecords, sentTree } from './file-hash.ts';

/** A build context. */
export interface LegacyContext {
  readonly files: SourceFiles;
  /** Bytes of the tar that a client would send. */
  size(): number;
}

/**
 * Opens a directory as a build context; what `.dockerignore` names is left out. The directory is read where it lies and
 * stays, for this build, as it was when it was first looked at.
 * @param dockerfile The Dockerfile's path in the context, which is sent even if it is ignored.
 * @param hidden Names at the top that are not there.
 * @throws LegacyBuildError, a refusal
 */
export function openLegacyContext(
  directory: string,
  dockerfile?: string,
  hidden: readonly string[] = [],
): LegacyContext {
  const whole = sentTree(directory);
  const ignored = readIgnored(directory);
  let tree: typeof whole;
  try {
    tree = filteredTree(whole, { excludePatterns: [...ignored, ...hidden] });
  } catch (cause) {
    throw new LegacyBuildError(`Error checking context: ${messageOf(cause)}`, { isRefusal: true, cause });
  }
  const records = legacyRecords(tree, undefined);
  return {
    files: { tree, records, copy: { tree, records }, isContext: true },
    size() {
      let size = TAR_END.length;
      const add = (name: string, bytes: number, isDirectory: boolean) => {
        const type = isDirectory ? TarType.directory : TarType.file;
        const header = { name: isDirectory ? `${name}/` : name, type, mode: 0, uid: 0, gid: 0, size: bytes, mtime: 0 };
        size += encodeTarHeader(header).length + roundUp(bytes);
      };
      for (const [path, node] of walkTree(tree)) {
        if (path !== '') add(path, node.type === 'file' ? node.size : 0, node.type === 'dir');
      }
      // The daemon needs these two, and takes them out of the context itself.
      for (const name of ignored.length === 0
        ? []
        : ['.dockerignore', ...(dockerfile === undefined ? [] : [dockerfile])]) {
        const path = toBytePath(posix.normalize(name));
        const { node } = resolvePath(whole, path, false);
        if (node?.type === 'file' && resolvePath(tree, path, false).node === undefined) add(path, node.size, false);
      }
      return size;
    },
  };
}

function readIgnored(directory: string): string[] {
  let text: string;
  try {
    text = readFileSync(systemPath(toBytePath(posix.join(directory, '.dockerignore'))), 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  }
  try {
    return readIgnoreFile(text);
  } catch (cause) {
    if (!(cause instanceof IgnoreFileError)) throw cause;
    throw new LegacyBuildError(cause.message, { isRefusal: true, cause });
  }
}
