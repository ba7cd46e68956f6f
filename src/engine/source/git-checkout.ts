import { existsSync, lutimesSync } from 'node:fs';
import { lstat, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { writeBundle } from './git-bundle.ts';
import type { GitCli } from './git-cli.ts';
import { type GitIdentifier, type GitMetadata, isObjectId } from './git-key.ts';
import type { GitRepository } from './git-repository.ts';
import { redactUrl, SourceError } from './source-key.ts';

/**
 * Writes the files of a commit into an empty directory, or its bundle where that is wanted.
 * @throws SourceError
 */
export async function checkoutGit(
  repository: GitRepository,
  id: GitIdentifier,
  metadata: GitMetadata,
  target: string,
  signal: AbortSignal,
): Promise<void> {
  if (id.checkoutBundle) return writeBundle(repository, id, metadata, target, signal);
  const { revision } = repository;
  const whole = id.subdir === '';
  // Only the directory is wanted, but submodules and links of the tree need the rest while it is checked out.
  const tree = whole ? target : await mkdtemp(join(target, 'checkout'));
  let git = repository.git.with({ workTree: tree });
  if (id.keepGitDir && whole) git = await cloneInto(tree, repository, id, metadata, signal);
  else await git.run(['checkout', '--quiet', '--no-overlay', revision, '--', '.'], signal);
  if (!id.skipSubmodules) await updateSubmodules(git, id, signal);
  if (!id.keepGitDir) await removeGitLinks(tree, signal);
  if (!whole) await liftSubdirectory(tree, target, id.subdir, signal);
  if (id.mtime === 'commit') {
    const time = Number(
      (await repository.git.run(['log', '-1', '--format=%ct', `${revision}^{commit}`], signal)).trim(),
    );
    await setTimesBelow(target, time, signal);
  }
}

/** The time of a commit, seconds since the epoch. */
export async function commitTime(repository: GitRepository, signal: AbortSignal): Promise<number> {
  return Number(
    (await repository.git.run(['log', '-1', '--format=%ct', `${repository.revision}^{commit}`], signal)).trim(),
  );
}

/** The text of the commit that was fetched, and of the annotated tag that was taken instead of it. */
export async function rawObjects(
  repository: GitRepository,
  signal: AbortSignal,
): Promise<{ readonly commit: string; readonly tag: string | undefined }> {
  const { git, revision } = repository;
  const type = (await git.run(['cat-file', '-t', revision], signal)).trim();
  return {
    commit: await git.run(['cat-file', 'commit', `${revision}^{commit}`], signal),
    tag: type === 'tag' ? await git.run(['cat-file', 'tag', revision], signal) : undefined,
  };
}

/** Makes `.git` of the commit alone, with the ref under its own name and the remote as `origin`. */
async function cloneInto(
  tree: string,
  repository: GitRepository,
  id: GitIdentifier,
  metadata: GitMetadata,
  signal: AbortSignal,
): Promise<GitCli> {
  const gitDir = join(tree, '.git');
  const git = repository.git.with({ workTree: tree, gitDir });
  const format = metadata.object.length === 64 ? ['--object-format=sha256'] : [];
  await git.run(['-c', 'init.defaultBranch=master', 'init', '--quiet', ...format], signal);
  // The file protocol, not a path: a local clone may copy more than the commit.
  await git.run(['remote', 'add', 'origin', `file://${repository.dir}`], signal);
  // Objects can be fetched by their refs only.
  const temporary = `refs/outcrop/${metadata.object}`;
  await repository.git.run(['update-ref', temporary, metadata.object], signal);
  try {
    const name = isObjectId(metadata.ref) ? '' : `:${metadata.ref}`;
    await git.run(['fetch', '--quiet', '--no-tags', '-u', '--depth=1', '--', 'origin', `${temporary}${name}`], signal);
  } finally {
    await repository.git.run(['update-ref', '-d', temporary], signal);
  }
  await git.run(['checkout', '--quiet', 'FETCH_HEAD'], signal);
  await git.run(['remote', 'set-url', 'origin', redactUrl(id.remote)], signal);
  await git.run(['reflog', 'expire', '--all', '--expire=now'], signal);
  await rm(join(gitDir, 'FETCH_HEAD'), { force: true });
  return git;
}

async function updateSubmodules(git: GitCli, id: GitIdentifier, signal: AbortSignal): Promise<void> {
  try {
    await git.run(['submodule', 'update', '--init', '--recursive', '--depth=1'], signal);
  } catch (error) {
    if (!(error instanceof SourceError)) throw error;
    throw new SourceError(`failed to update submodules for ${redactUrl(id.remote)}: ${error.message}`, {
      cause: error,
    });
  }
}

/** A submodule's `.git` file names a directory of this machine, which is not where the files will be used. */
async function removeGitLinks(tree: string, signal: AbortSignal): Promise<void> {
  if (!existsSync(join(tree, '.gitmodules'))) return;
  for (const entry of await readdir(tree, { withFileTypes: true, recursive: true })) {
    signal.throwIfAborted();
    if (entry.name === '.git' && entry.isFile()) await rm(join(entry.parentPath, entry.name));
  }
}

/** Moves what is in the directory up to the target; a link on the way to it could lead anywhere. */
async function liftSubdirectory(tree: string, target: string, subdir: string, signal: AbortSignal): Promise<void> {
  let path = tree;
  for (const name of subdir.split('/').filter(Boolean)) {
    signal.throwIfAborted();
    path = join(path, name);
    const found = await lstat(path).catch(cause => {
      throw new SourceError(`invalid subdir ${subdir}: the repository has no such directory`, { cause });
    });
    if (!found.isDirectory())
      throw new SourceError(`invalid subdir ${subdir}: git subpath contains non-directory "${name}"`);
  }
  // The tree's own name could be among those that are lifted.
  for (const name of await readdir(path)) await rename(join(path, name), join(target, name));
  await rm(tree, { recursive: true });
}

async function setTimesBelow(dir: string, time: number, signal: AbortSignal): Promise<void> {
  for (const entry of await readdir(dir, { withFileTypes: true })) {
    signal.throwIfAborted();
    const path = join(dir, entry.name);
    if (entry.isDirectory()) await setTimesBelow(path, time, signal);
    else lutimesSync(path, time, time);
  }
  lutimesSync(dir, time, time);
}
