import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SecretProvider, SourceRequest, SshProvider } from '../ops/op-context.ts';
import { type LayerID, type Ref, snapshotRef } from '../ops/ref.ts';
import type { Op } from '../solver/op.ts';
import type { BlobPlaces } from './blob.ts';
import type { DownloadStore } from './download-store.ts';
import { stageBundle } from './git-bundle.ts';
import { checkoutGit, commitTime, rawObjects } from './git-checkout.ts';
import { createGitCli, type GitCli } from './git-cli.ts';
import {
  chooseRef,
  type GitIdentifier,
  type GitMetadata,
  gitKey,
  parseGitSource,
  resolveGitStatically,
} from './git-key.ts';
import { fetchGit, type GitRepository } from './git-repository.ts';
import type { SourceLayers } from './layer-port.ts';
import type { LookUps } from './look-ups.ts';
import { redactUrl, SourceError, sourceCacheMap } from './source-key.ts';
import type { SourceProgress } from './source-progress.ts';

/** What git sources need. */
export interface GitSourceOptions {
  /** Directory for the repositories that were fetched. */
  readonly repositories: string;
  readonly checkouts: DownloadStore;
  readonly layers: SourceLayers;
  readonly secrets: SecretProvider;
  readonly ssh: SshProvider;
  /** What names were found to mean in this build. */
  readonly lookUps: LookUps<RemoteRefs>;
  /** Where bundles are found. */
  readonly blobs: BlobPlaces;
}

/** What a remote says of a name. */
export interface RemoteRefs {
  /** The name that was asked for: that of the source, or of the default branch. */
  readonly wanted: string;
  /** Output of `git ls-remote`. */
  readonly listing: string;
}

/** The step that a `git://` source is: the files of a commit. */
export function gitOp(request: SourceRequest, options: GitSourceOptions, progress: SourceProgress): Op<Ref> {
  const id = readGitSource(request.identifier, request.attrs);
  let resolved: Promise<GitMetadata> | undefined;
  const once = (signal: AbortSignal) => {
    resolved ??= resolveGit(id, options, progress, signal).catch(error => {
      if (signal.aborted) resolved = undefined;
      throw error;
    });
    return resolved;
  };
  return {
    cacheMap: async (_, signal) => ({ map: sourceCacheMap(gitKey(id, await once(signal))), done: true }),
    async exec(_, signal) {
      const metadata = await once(signal);
      const { key } = gitKey(id, metadata);
      const known = options.checkouts.checkout(key);
      if (known !== undefined && options.layers.has(known)) return [snapshotRef([known])];
      const layer = await makeCheckout(id, metadata, options, progress, signal);
      options.checkouts.keepCheckout(key, layer);
      return [snapshotRef([layer])];
    },
  };
}

/** Reads a git source's op; says so when it wants what cannot be done here. */
export function readGitSource(identifier: string, attrs: Readonly<Record<string, string>>): GitIdentifier {
  const id = parseGitSource(identifier.replace(/^git:\/\//, ''), attrs);
  const unsupported = (what: string) => new SourceError(`${redactUrl(id.remote)}: ${what} are not supported`);
  if (id.signaturePublicKey !== '') throw unsupported('signatures of commits and tags');
  return id;
}

/**
 * Finds out which commit is meant, asking the remote once in a build unless it is named by its id.
 * @throws SourceError
 */
export async function resolveGit(
  id: GitIdentifier,
  options: GitSourceOptions,
  progress: SourceProgress,
  signal: AbortSignal,
): Promise<GitMetadata> {
  const known = resolveGitStatically(id);
  if (known !== undefined) return known;
  const name = `${id.bundle} ${id.remote}#${id.ref}`;
  const list = id.bundle === '' ? listRefs : listBundle;
  const { wanted, listing } = await options.lookUps.ask(name, inner => list(id, options, progress, inner), signal);
  return chooseRef(id, wanted, listing);
}

async function listRefs(
  id: GitIdentifier,
  options: GitSourceOptions,
  progress: SourceProgress,
  signal: AbortSignal,
): Promise<RemoteRefs> {
  return withGit(id, options, progress, signal, async git => {
    try {
      const wanted = id.ref === '' ? await defaultBranch(id, git, signal) : id.ref;
      return { wanted, listing: await git.run(['ls-remote', '--', id.remote, wanted, `${wanted}^{}`], signal) };
    } catch (error) {
      if (!(error instanceof SourceError) || !error.message.startsWith('git ')) throw error;
      throw new SourceError(`failed to fetch remote ${redactUrl(id.remote)}: ${error.message}`, { cause: error });
    }
  });
}

/** What a bundle says of a name. What it means is fetched with it, so that the bundle need not be had again. */
async function listBundle(
  id: GitIdentifier,
  options: GitSourceOptions,
  progress: SourceProgress,
  signal: AbortSignal,
): Promise<RemoteRefs> {
  return withGit(id, options, progress, signal, async git => {
    await using bundle = await stageBundle(id, options.blobs, git, signal);
    const refs = {
      wanted: id.ref,
      listing: await git.run(['ls-remote', '--', bundle.url, id.ref, `${id.ref}^{}`], signal),
    };
    const metadata = chooseRef(id, id.ref, refs.listing);
    (await fetchGit(options.repositories, id, metadata, git, signal, async () => bundle.url))[Symbol.dispose]();
    return refs;
  });
}

/** Brings what a source resolved to onto this machine, out of its bundle if it has one. */
async function fetchSource(
  id: GitIdentifier,
  metadata: GitMetadata,
  git: GitCli,
  options: GitSourceOptions,
  signal: AbortSignal,
): Promise<GitRepository> {
  if (id.bundle === '') return fetchGit(options.repositories, id, metadata, git, signal);
  await using staged = new AsyncDisposableStack();
  const from = async () => staged.use(await stageBundle(id, options.blobs, git, signal)).url;
  return await fetchGit(options.repositories, id, metadata, git, signal, from);
}

/** The time of the commit that a source resolves to, seconds since the epoch. Fetches it. */
export async function gitCommitTime(
  id: GitIdentifier,
  options: GitSourceOptions,
  progress: SourceProgress,
  signal: AbortSignal,
): Promise<number> {
  const metadata = await resolveGit(id, options, progress, signal);
  return withGit(id, options, progress, signal, async git => {
    using repository = await fetchSource(id, metadata, git, options, signal);
    return commitTime(repository, signal);
  });
}

/** The text of the commit that a source resolves to, and of the annotated tag in front of it. Fetches them. */
export async function gitObjects(
  id: GitIdentifier,
  options: GitSourceOptions,
  progress: SourceProgress,
  signal: AbortSignal,
): Promise<{ readonly commit: string; readonly tag: string | undefined }> {
  const metadata = await resolveGit(id, options, progress, signal);
  return withGit(id, options, progress, signal, async git => {
    using repository = await fetchSource(id, metadata, git, options, signal);
    return rawObjects(repository, signal);
  });
}

async function makeCheckout(
  id: GitIdentifier,
  metadata: GitMetadata,
  options: GitSourceOptions,
  progress: SourceProgress,
  signal: AbortSignal,
): Promise<LayerID> {
  return withGit(id, options, progress, signal, async git => {
    using repository = await fetchSource(id, metadata, git, options, signal);
    await using active = await options.layers.prepare([], signal);
    await checkoutGit(repository, id, metadata, active.upper, signal);
    return active.commit(signal);
  });
}

async function defaultBranch(id: GitIdentifier, git: GitCli, signal: AbortSignal): Promise<string> {
  const listing = await git.run(['ls-remote', '--symref', '--', id.remote, 'HEAD'], signal);
  const branch = /^ref: refs\/heads\/(\S+)/m.exec(listing)?.[1];
  if (branch === undefined || branch.startsWith('-')) {
    throw new SourceError(`could not find default branch for repository: ${redactUrl(id.remote)}`);
  }
  return branch;
}

/** Runs `work` with a git that has the secrets, the agent and the known hosts of the source. */
async function withGit<T>(
  id: GitIdentifier,
  options: GitSourceOptions,
  progress: SourceProgress,
  signal: AbortSignal,
  work: (git: GitCli) => Promise<T>,
): Promise<T> {
  const auth = await authOf(id, options.secrets, signal);
  // A bundle is fetched without the remote.
  const sshId = id.bundle === '' ? id.sshId : '';
  const sshSocket = sshId === '' ? undefined : await options.ssh.socket(sshId, signal);
  if (sshId !== '' && sshSocket === undefined) {
    throw new SourceError(`no SSH key "${sshId}" forwarded from the client: add --ssh ${sshId}`);
  }
  const dir = id.knownSshHosts === '' ? undefined : await mkdtemp(join(tmpdir(), 'outcrop-known-hosts-'));
  try {
    const knownHosts = dir === undefined ? undefined : join(dir, 'known_hosts');
    if (knownHosts !== undefined) await writeFile(knownHosts, id.knownSshHosts, { mode: 0o600 });
    const git = createGitCli({
      ...(auth === undefined ? {} : { auth }),
      ...(sshSocket === undefined ? {} : { sshSocket }),
      ...(knownHosts === undefined ? {} : { knownHosts }),
      output: progress.log,
    });
    return await work(git);
  } finally {
    if (dir !== undefined) await rm(dir, { recursive: true, force: true });
  }
}

/** The first secret that is there: for the host before the general one, a header before a token. */
async function authOf(
  id: GitIdentifier,
  secrets: SecretProvider,
  signal: AbortSignal,
): Promise<{ readonly scope: string; readonly header: string } | undefined> {
  if (!/^https?:\/\//.test(id.remote)) return undefined;
  const { host } = new URL(id.remote);
  const candidates = [
    { name: id.authHeaderSecret, suffix: `.${host}`, token: false },
    { name: id.authTokenSecret, suffix: `.${host}`, token: true },
    { name: id.authHeaderSecret, suffix: '', token: false },
    { name: id.authTokenSecret, suffix: '', token: true },
  ];
  for (const { name, suffix, token } of candidates) {
    const value = name === '' ? undefined : await secrets.get(name + suffix, signal);
    if (value === undefined) continue;
    const text = new TextDecoder().decode(value).trim();
    const header = token ? `basic ${Buffer.from(`x-access-token:${text}`).toString('base64')}` : text;
    return { scope: authScope(id.remote), header };
  }
  return undefined;
}

/** A token is for its repository, but for GitHub for all of it: submodules need it too. */
function authScope(remote: string): string {
  return ['https://github.com/', 'https://www.github.com/'].find(prefix => remote.startsWith(prefix)) ?? remote;
}
