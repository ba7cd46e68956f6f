/** The states that `outcrop compare` compares: a directory as it is, a revision of its repository, a build of the history. */
import { execFile } from 'node:child_process';
import { chmodSync, lstatSync, readdirSync, statSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { promisify } from 'node:util';
import type { BuildSummary } from '../../insight/history/build-record.ts';
import type { History } from '../../insight/history/history-store.ts';
import type { BuildRequest } from '../builder/request.ts';
import { type BuildFlags, buildRequest } from './build-request.ts';
import { UsageError } from './errors.ts';
import { findBuild } from './open-history.ts';
import { unpackContext } from './stdin-context.ts';

const run = promisify(execFile);

/** A state that was asked for. */
export type ComparedState =
  | { readonly kind: 'none'; readonly name: string }
  | {
      readonly kind: 'files';
      readonly name: string;
      /** Where its files lie. */
      readonly dir: string;
      readonly request: BuildRequest;
    }
  | { readonly kind: 'build'; readonly name: string; readonly build: BuildSummary };

/** The largest archive of a revision, in bytes. */
const LARGEST = 2 ** 31;

/**
 * Finds a state by its name. The files of a revision are written to a temporary directory that the process removes at its end.
 * @param history undefined where nothing was ever built @throws UsageError for a name that means nothing
 */
export async function findState(
  word: string | undefined,
  path: string,
  flags: BuildFlags,
  history: History | undefined,
): Promise<ComparedState> {
  if (word === 'tree') return filesState('the working tree', path, path, flags);
  if (word === 'none') return { kind: 'none', name: 'nothing' };
  if (word === undefined) {
    const isTracked = (await commitOf(path, 'HEAD')) !== undefined;
    return isTracked ? findState('HEAD', path, flags, history) : findState('none', path, flags, history);
  }
  if (/^\d+$/.test(word) || word === 'latest') return buildState(findBuild(history, word));
  const commit = await commitOf(path, word);
  if (commit !== undefined) return filesState(word, await checkOut(path, commit), path, flags);
  const build = history?.find(word);
  if (build !== undefined) return buildState(build);
  throw new UsageError(`${word}: neither tree or none, nor a git revision, nor a build of the history`);
}

function buildState(build: BuildSummary): ComparedState {
  return { kind: 'build', name: `build ${build.number}`, build };
}

/** @param dir where the files lie @param path the directory that they stand for, which `--file` is relative to */
async function filesState(name: string, dir: string, path: string, flags: BuildFlags): Promise<ComparedState> {
  const { file } = flags;
  if (
    path === '-' ||
    /^(https?|git|ssh):\/\/|^git@/.test(path) ||
    !statSync(path, { throwIfNoEntry: false })?.isDirectory()
  )
    throw new UsageError(`${path}: outcrop compare needs a directory`);
  if (file === '-') throw new UsageError('--file -: name a file, which each state has its own of');
  const inside = file === undefined ? '' : relative(resolve(path), resolve(file));
  const own = file === undefined || inside.startsWith('..') ? file : join(dir, inside);
  const request = await buildRequest(dir, { ...flags, ...(own === undefined ? {} : { file: own }) });
  return { kind: 'files', name, dir: resolve(dir), request };
}

async function commitOf(path: string, revision: string): Promise<string | undefined> {
  try {
    const args = ['-C', path, 'rev-parse', '--verify', '--quiet', '--end-of-options', `${revision}^{commit}`];
    const { stdout } = await run('git', args);
    return stdout.trim();
  } catch {
    return undefined;
  }
}

/** The files of a revision, those below the directory only. */
async function checkOut(path: string, commit: string): Promise<string> {
  let archive: Buffer;
  try {
    const args = ['-C', path, '-c', 'tar.umask=0022', 'archive', '--format=tar', commit];
    ({ stdout: archive } = await run('git', args, { encoding: 'buffer', maxBuffer: LARGEST }));
  } catch (cause) {
    throw new UsageError(`the revision ${commit} cannot be read: ${cause instanceof Error ? cause.message : cause}`, {
      cause,
    });
  }
  const dir = await unpackContext(archive);
  chmodSync(dir, statSync(path).mode & 0o7777);
  likeThere(dir, path);
  return dir;
}

/** Gives files the modes that they have in the working tree, where git knows of no difference. */
function likeThere(dir: string, path: string): void {
  for (const entry of readdirSync(dir, { withFileTypes: true })) {
    if (entry.isSymbolicLink()) continue;
    const [here, there] = [join(dir, entry.name), join(path, entry.name)];
    const known = lstatSync(there, { throwIfNoEntry: false });
    const own = lstatSync(here);
    const isSameKind = known !== undefined && (known.mode & 0o170000) === (own.mode & 0o170000);
    if (isSameKind && (known.mode & 0o100) === (own.mode & 0o100)) chmodSync(here, known.mode & 0o7777);
    if (entry.isDirectory()) likeThere(here, there);
  }
}
