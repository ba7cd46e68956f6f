import { createHash } from 'node:crypto';
import { existsSync, rmSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type FileLock, lockFile, tryLockFile } from '../../host/system/lock.ts';
import type { GitCli } from './git-cli.ts';
import { type GitIdentifier, type GitMetadata, isObjectId } from './git-key.ts';
import { redactUrl, SourceError } from './source-key.ts';

/** The bare repository of a remote, locked: what was fetched before is kept in it. */
export interface GitRepository extends Disposable {
  readonly dir: string;
  readonly git: GitCli;
  /** Names the commit or tag that is wanted, in this repository. */
  readonly revision: string;
}

/**
 * Brings what a source resolved to into the bare repository of its remote, as shallow as the server allows.
 * @param base the directory that holds the repositories
 * @param from where to fetch it from, in place of the remote
 * @throws SourceError
 */
export async function fetchGit(
  base: string,
  id: GitIdentifier,
  metadata: GitMetadata,
  git: GitCli,
  signal: AbortSignal,
  from: () => Promise<string> = async () => id.remote,
): Promise<GitRepository> {
  const dir = join(base, createHash('sha256').update(id.remote).digest('hex'));
  await mkdir(base, { recursive: true, mode: 0o700 });
  const lock = await lockFile(`${dir}.lock`, 'exclusive', signal);
  try {
    return await fetchLocked({ dir, lock, id, metadata, git, from }, signal);
  } catch (error) {
    lock[Symbol.dispose]();
    throw error;
  }
}

/** Removes a bare repository unless a source uses it. @returns whether it is gone */
export function removeGitRepository(dir: string): boolean {
  using free = tryLockFile(`${dir}.lock`, 'exclusive');
  if (free !== undefined) rmSync(dir, { recursive: true, force: true });
  return free !== undefined;
}

interface Fetching {
  readonly dir: string;
  readonly lock: FileLock;
  readonly id: GitIdentifier;
  readonly metadata: GitMetadata;
  readonly git: GitCli;
  readonly from: () => Promise<string>;
}

async function fetchLocked(
  { dir, lock, id, metadata, git, from }: Fetching,
  signal: AbortSignal,
): Promise<GitRepository> {
  const repository = git.with({ gitDir: dir });
  await initialise(dir, metadata.object.length === 64, git, signal);
  // A bundle is made of all that a commit stands on.
  const lacksHistory = id.checkoutBundle && existsSync(join(dir, 'shallow'));
  if (lacksHistory || !(await contains(repository, metadata.object, signal))) {
    const source = await from();
    try {
      await fetchObject({ dir, git: repository, id, metadata, source }, signal);
    } catch (error) {
      // A tag that moved, or a branch whose name became a directory of others: only a fresh repository takes it.
      if (!(error instanceof SourceError) || !isRefConflict(error)) throw error;
      await rm(dir, { recursive: true });
      await initialise(dir, metadata.object.length === 64, git, signal);
      await fetchObject({ dir, git: repository, id, metadata, source }, signal);
    }
  }
  return { dir, git: repository, revision: metadata.object, [Symbol.dispose]: () => lock[Symbol.dispose]() };
}

async function initialise(dir: string, sha256: boolean, git: GitCli, signal: AbortSignal): Promise<void> {
  if (existsSync(join(dir, 'HEAD'))) return;
  const fresh = `${dir}.new`;
  await rm(fresh, { recursive: true, force: true });
  await makeRepository(fresh, sha256, git, signal);
  await rm(dir, { recursive: true, force: true });
  await rename(fresh, dir);
}

/** Makes an empty bare repository; the git for it. @param dir must not exist */
export async function makeRepository(dir: string, sha256: boolean, git: GitCli, signal: AbortSignal): Promise<GitCli> {
  await mkdir(dir, { mode: 0o700 });
  const own = git.with({ gitDir: dir });
  const format = sha256 ? ['--object-format=sha256'] : [];
  await own.run(['-c', 'init.defaultBranch=master', 'init', '--quiet', '--bare', ...format], signal);
  return own;
}

/** Whether a repository has a commit. */
export async function contains(git: GitCli, object: string, signal: AbortSignal): Promise<boolean> {
  try {
    await git.with({ output: () => {} }).run(['cat-file', '-e', `${object}^{commit}`], signal);
    return true;
  } catch (error) {
    if (error instanceof SourceError) return false;
    throw error;
  }
}

async function fetchObject(
  { dir, git, id, metadata, source }: Omit<Fetching, 'lock' | 'from'> & { readonly source: string },
  signal: AbortSignal,
): Promise<void> {
  // A killed fetch leaves it behind, and nobody else is here: the repository is locked.
  await rm(join(dir, 'shallow.lock'), { force: true });
  const shallow = existsSync(join(dir, 'shallow'));
  const history = shallow ? ['--unshallow'] : [];
  const deep = ['fetch', '--tags', ...history];
  const failed = (error: unknown) => {
    if (!(error instanceof SourceError)) return error;
    return new SourceError(`failed to fetch remote ${redactUrl(id.remote)}: ${error.message}`, { cause: error });
  };
  try {
    if (id.checkoutBundle) {
      const spec = isObjectId(metadata.ref) ? metadata.object : `${metadata.ref}:${localRef(metadata.ref)}`;
      await git.run(['fetch', '--no-tags', '--force', ...history, '--', source, spec], signal);
    } else if (id.fetchByCommit) {
      await git.run(['fetch', '--depth=1', '--no-tags', '--', source, metadata.object], signal);
      return;
    } else if (isObjectId(metadata.ref)) {
      await git.run([...deep, '--', source, metadata.object], signal);
    } else {
      const spec = `${metadata.ref}:${localRef(metadata.ref)}`;
      await git.run(['fetch', '--depth=1', '--no-tags', '--force', '--', source, spec], signal);
      // The ref may have moved since it was looked up; the key says which commit it has to be.
      if (!(await contains(git, metadata.object, signal))) {
        await git.run([...deep, '--', source, metadata.object], signal);
      }
    }
  } catch (error) {
    throw failed(error);
  }
  if (await contains(git, metadata.object, signal)) return;
  throw new SourceError(
    `${redactUrl(id.remote)}: fetched ref ${metadata.ref} does not match expected commit ${metadata.object} and commit can not be found in the repository`,
  );
}

/** Where a fetched ref is kept, so that a later fetch can build on it. */
function localRef(ref: string): string {
  return ref.startsWith('refs/tags/') ? ref : `refs/tags/${ref}`;
}

function isRefConflict(error: SourceError): boolean {
  const text = String(
    error.cause instanceof Error && error.cause.cause instanceof Error ? error.cause.cause.message : error.message,
  );
  return /would clobber existing tag|unable to update local ref|refname conflict|cannot lock ref/.test(text);
}
