import { spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { Readable, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { cacheMountDirectories, type KeptCacheMount } from '../../engine/cache/kept-directories.ts';
import { treeTar } from '../../engine/exporter/tar.ts';
import { fillCacheMount, removeCacheMount } from '../../engine/ops/exec/cache-mount.ts';
import { outcropRoot } from '../../host/config/paths.ts';
import { type FileLock, tryLockFile } from '../../host/system/lock.ts';
import { encodeTarHeader, TarType } from '../../store/content/tar-header.ts';
import { shareStore } from '../../store/lock.ts';
import { rootLayout } from '../../store/root-layout.ts';
import { directoryTree } from '../../store/snapshot/file-tree-directory.ts';
import { walkTree } from '../../wire/fsutil/tree.ts';
import { UsageError } from './errors.ts';
import { interruptSignal } from './interrupt.ts';
import { textTable } from './table.ts';
import { formatAge, formatBytes } from './units.ts';

export interface JsonFlag {
  readonly json?: true;
}

/** Flags of `outcrop mounts rm`. */
export interface RemoveMountFlags {
  readonly all?: true;
}

/** Flags of `outcrop mounts export`. */
export interface ExportFlags {
  readonly output?: string;
}

/** A cache mount that cannot be had now. */
class MountError extends Error {
  override readonly name = 'MountError';
}

/** How many entries of a mount are listed. */
const SHOWN = 20;

/** What `outcrop mounts ls` prints. @param now milliseconds since the epoch */
export async function listMounts(flags: JsonFlag, root = outcropRoot(), now = Date.now()): Promise<string> {
  const mounts = (await mountsOf(root)).sort((a, b) => b.record.size - a.record.size);
  if (flags.json) return mounts.map(mount => `${JSON.stringify(jsonOf(mount))}\n`).join('');
  const rows = mounts.map(({ record, cache }) => [
    record.id,
    cache.replace(/(:sha256:[0-9a-f]{8})[0-9a-f]{56}$/, '$1…'),
    formatBytes(record.size),
    `${formatAge(Math.max(0, now - record.lastUsedAt))} ago`,
    record.description,
  ]);
  return textTable(['ID', 'CACHE', 'SIZE', 'LAST USED', 'WHAT'], rows);
}

/** What `outcrop mounts inspect` prints. @throws UsageError when there is no such mount, or several */
export async function inspectMount(
  name: string,
  flags: JsonFlag,
  root = outcropRoot(),
  now = Date.now(),
): Promise<string> {
  const mount = one(await mountsOf(root), name);
  const { record, cache, directory } = mount;
  const { files, entries } = entriesOf(join(directory, 'data'));
  const isUsed = !isFree(directory);
  if (flags.json) return `${JSON.stringify({ ...jsonOf(mount), isUsed, files, entries }, undefined, 2)}\n`;
  const facts = [
    ['ID', record.id],
    ['Cache', cache],
    ['What', record.description],
    ['Path', join(directory, 'data')],
    ['Size', formatBytes(record.size)],
    ['Files', String(files)],
    ['Created', `${formatAge(Math.max(0, now - record.createdAt))} ago`],
    ['Last used', isUsed ? 'by a step that runs now' : `${formatAge(Math.max(0, now - record.lastUsedAt))} ago`],
  ] as const;
  const rows = entries.slice(0, SHOWN).map(entry => [entry.name, String(entry.files), formatBytes(entry.size)]);
  const more = entries.length > SHOWN ? `and ${entries.length - SHOWN} more\n` : '';
  const head = facts.map(([title, value]) => `${`${title}:`.padEnd(11)}${value}\n`).join('');
  return entries.length === 0 ? head : `${head}\n${textTable(['NAME', 'FILES', 'SIZE'], rows)}${more}`;
}

/**
 * Removes cache mounts.
 * @returns their ids, one a line. @throws UsageError for a name that there is not, MountError when a step uses one
 */
export async function removeMounts(
  names: readonly string[],
  flags: RemoveMountFlags,
  root = outcropRoot(),
): Promise<string> {
  if (names.length === 0 && !flags.all) throw new UsageError('name the cache mounts to remove, or give --all');
  const mounts = await mountsOf(root);
  const chosen = flags.all ? mounts : [...new Set(names.flatMap(name => some(mounts, name)))];
  if (chosen.length === 0) return '';
  using interrupt = interruptSignal();
  using _lock = await shareStore(root, () => undefined, interrupt.signal);
  const used: string[] = [];
  let removed = '';
  for (const { record, directory } of chosen) {
    if (await removeCacheMount(directory, interrupt.signal)) removed += `${record.id}\n`;
    else used.push(record.id);
  }
  if (used.length === 0) return removed;
  process.stdout.write(removed);
  throw new MountError(`${used.join(', ')}: a step uses it now; it stays`);
}

/**
 * Writes a cache mount as a tar archive, with owners, links and extended attributes. No step can use it meanwhile.
 * @throws UsageError, MountError when a step uses it now
 */
export async function exportMount(
  name: string,
  { output }: ExportFlags,
  stdout: Writable & { readonly isTTY?: boolean },
  root = outcropRoot(),
): Promise<string> {
  if (output === undefined && stdout.isTTY) throw new UsageError('standard output is a terminal: give -o FILE');
  const { record, directory } = one(await mountsOf(root), name);
  using interrupt = interruptSignal();
  using _store = await shareStore(root, () => undefined, interrupt.signal);
  using lock: FileLock | undefined = tryLockFile(join(directory, 'lock'), 'exclusive');
  if (lock === undefined) throw new MountError(`${record.id}: a step uses it now`);
  const tar = mountTar(join(directory, 'data'), interrupt.signal);
  if (output === undefined) {
    await pipeline(Readable.from(tar), stdout, { end: false });
    return '';
  }
  const partial = `${output}.${process.pid}.partial`;
  try {
    await pipeline(Readable.from(tar), createWriteStream(partial));
    await rename(partial, output);
  } finally {
    await rm(partial, { force: true });
  }
  return '';
}

/** The directory itself first: steps may have been promised its owner and mode. */
async function* mountTar(directory: string, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const tree = directoryTree(directory);
  const { mode, uid, gid, mtime } = tree.root;
  const seconds = Number(mtime / 1_000_000_000n);
  yield encodeTarHeader({ name: './', type: TarType.directory, mode, uid, gid, size: 0, mtime: seconds });
  yield* treeTar(tree, undefined, signal);
}

/**
 * Fills a cache that has no directory yet.
 * @returns the id of the mount. @throws MountError when the cache has one, or the archive cannot be unpacked
 */
export async function importMount(cache: string, path: string, root = outcropRoot()): Promise<string> {
  await using file = path === '-' ? undefined : await open(path);
  using interrupt = interruptSignal();
  const { signal } = interrupt;
  using _lock = await shareStore(root, () => undefined, signal);
  const { cacheMounts } = rootLayout(root);
  const fill = (directory: string) => unpack(file?.fd ?? 0, directory, signal);
  const description = `cached mount ${cache} from an import`;
  const made = await fillCacheMount(cacheMounts, posix.join('/', cache), { description, fill }, signal);
  if (made !== undefined) return `${(await mountsOf(root)).find(({ directory }) => directory === made)?.record.id}\n`;
  throw new MountError(`the cache ${cache} has a mount already: outcrop mounts rm removes it`);
}

async function unpack(archive: number, directory: string, signal: AbortSignal): Promise<void> {
  const options = ['-p', '--same-owner', '--numeric-owner', '--xattrs', '--xattrs-include=*'];
  const tar = spawn('tar', ['-x', ...options, '-C', directory, '-f', '-'], {
    stdio: [archive, 'ignore', 'pipe'],
    signal,
  });
  const complaints: Uint8Array[] = [];
  tar.stderr?.on('data', chunk => complaints.push(chunk));
  const code = await new Promise<number | null>((done, failed) => tar.once('error', failed).once('close', done));
  const reason = Buffer.concat(complaints).toString().trim();
  if (code !== 0) throw new MountError(`the archive cannot be unpacked: ${reason}`);
}

async function mountsOf(root: string): Promise<KeptCacheMount[]> {
  return cacheMountDirectories(rootLayout(root).cacheMounts, new AbortController().signal);
}

/** The mounts that a name means. @throws UsageError when there is none */
function some(mounts: readonly KeptCacheMount[], name: string): KeptCacheMount[] {
  // Dockerfiles' ids become absolute: id=npm is /npm.
  const isNamed = (cache: string) => [name, `/${name}`].some(one => cache === one || cache.startsWith(`${one}:`));
  const found = mounts.filter(({ record, cache }) => record.id.startsWith(name) || isNamed(cache));
  if (name !== '' && found.length > 0) return found;
  throw new UsageError(`there is no cache mount ${JSON.stringify(name)}: outcrop mounts ls lists them`);
}

function one(mounts: readonly KeptCacheMount[], name: string): KeptCacheMount {
  const [first, ...others] = some(mounts, name);
  if (first !== undefined && others.length === 0) return first;
  throw new UsageError(`${name} means several: ${[first, ...others].map(mount => mount?.record.id).join(', ')}`);
}

function isFree(directory: string): boolean {
  using lock = tryLockFile(join(directory, 'lock'), 'exclusive');
  return lock !== undefined;
}

interface Entry {
  readonly name: string;
  files: number;
  size: number;
}

/** What lies at the top of a directory, with how much is in it, largest first. */
function entriesOf(directory: string): { readonly files: number; readonly entries: readonly Entry[] } {
  const entries = new Map<string, Entry>();
  const seen = new Set<string>();
  for (const [path, node] of walkTree(directoryTree(directory))) {
    const [top = ''] = Buffer.from(path, 'latin1').toString().split('/');
    const entry = entries.get(top) ?? { name: top, files: 0, size: 0 };
    entries.set(top, entry);
    if (node.type === 'dir') continue;
    entry.files += 1;
    if (node.type === 'file' && !seen.has(node.inode)) entry.size += node.size;
    seen.add(node.inode);
  }
  const sorted = [...entries.values()].sort((a, b) => b.size - a.size || (a.name < b.name ? -1 : 1));
  return { files: sorted.reduce((sum, { files }) => sum + files, 0), entries: sorted };
}

function jsonOf({ record, cache, directory }: KeptCacheMount) {
  const { id, description, size, createdAt, lastUsedAt } = record;
  return {
    id,
    cache,
    description,
    path: join(directory, 'data'),
    size,
    createdAt: new Date(createdAt).toISOString(),
    lastUsedAt: new Date(lastUsedAt).toISOString(),
  };
}
