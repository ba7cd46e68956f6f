import { createHash } from 'node:crypto';
import { createReadStream, mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, extname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { type FileTree, pathOf } from '../../store/snapshot/file-tree.ts';
import { contextTree } from '../../store/snapshot/file-tree-context.ts';
import { fromBytePath, systemPath } from '../../wire/fsutil/byte-path.ts';
import { walkTree } from '../../wire/fsutil/tree.ts';
import { goJsonIndented } from '../../wire/oci/go-json.ts';
import { statement } from './attestation.ts';
import { ExporterAttributeError } from './attributes.ts';
import type { PlatformResult } from './result.ts';

/** Files with the statements about a result, as a tree. Disposing removes them. */
export interface AttestationFiles extends AsyncDisposable {
  readonly tree: FileTree;
}

/** How statements become files. */
export interface AttestationFileOptions {
  /** Put in front of every name. */
  readonly prefix: string;
  /** Tells the files of several platforms in one directory apart. */
  readonly namePlatform: boolean;
  /** Milliseconds since the epoch. */
  readonly time: number;
}

/**
 * Writes the statements about the files of a result that are not for images only; undefined when there are none. The
 * subjects are all regular files (exporters facts, 7).
 * @throws ExporterAttributeError when two would have the same name
 */
export async function attestationFiles(
  { id, attestations }: PlatformResult,
  tree: FileTree,
  { prefix, namePlatform, time }: AttestationFileOptions,
  signal: AbortSignal,
): Promise<AttestationFiles | undefined> {
  const chosen = attestations.filter(({ inlineOnly }) => !inlineOnly);
  if (chosen.length === 0) return undefined;
  const subjects = await fileSubjects(tree, signal);
  const directory = mkdtempSync(join(tmpdir(), 'outcrop-attestations-'));
  const release = () => rmSync(directory, { recursive: true, force: true });
  try {
    const names = new Set<string>();
    for (const { filename, predicateType, predicate, subjects: own } of chosen) {
      const name = fileName(`${prefix}${basename(filename)}`, namePlatform ? id : undefined);
      if (names.has(name)) throw new ExporterAttributeError(`duplicate attestation path name ${name}`);
      names.add(name);
      const text = statement(predicateType, await predicate(signal), subjects, own);
      const path = join(directory, name);
      mkdirSync(join(path, '..'), { recursive: true });
      writeFileSync(path, goJsonIndented(JSON.parse(text)), { mode: 0o600 });
      utimesSync(path, time / 1000, time / 1000);
    }
    return { tree: contextTree(directory), [Symbol.asyncDispose]: async () => release() };
  } catch (error) {
    release();
    throw error;
  }
}

function fileName(name: string, platform: string | undefined): string {
  if (platform === undefined) return name;
  const extension = extname(name);
  return `${name.slice(0, name.length - extension.length)}.${platform.replaceAll('/', '_')}${extension}`;
}

async function fileSubjects(tree: FileTree, signal: AbortSignal): Promise<{ name: string; sha256: string }[]> {
  const subjects: { name: string; sha256: string }[] = [];
  for (const [, node] of walkTree(tree)) {
    if (node.type !== 'file') continue;
    signal.throwIfAborted();
    const hash = createHash('sha256');
    await pipeline(createReadStream(systemPath(tree.location(node))), hash, { signal });
    subjects.push({ name: fromBytePath(pathOf(node)), sha256: hash.digest('hex') });
  }
  return subjects;
}
