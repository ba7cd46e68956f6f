/** Git bundles: a repository's history in one file, to be fetched from, or made. */
import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { chmod, copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Digest } from '../../wire/oci/digest.ts';
import { parseReference } from '../../wire/oci/reference.ts';
import { type BlobPlaces, openBlob } from './blob.ts';
import type { GitCli } from './git-cli.ts';
import { type GitIdentifier, type GitMetadata, isObjectId } from './git-key.ts';
import { contains, type GitRepository, makeRepository } from './git-repository.ts';
import { SourceError } from './source-key.ts';

/** A bundle whose history can be fetched from a URL of this machine until it is disposed. */
interface StagedBundle extends AsyncDisposable {
  readonly url: string;
}

/** The ref of a bundle that was asked for by a commit: to be fetched, a commit needs some name. */
const NAMELESS = 'refs/heads/main';

/**
 * Downloads the bundle that a source names, and makes a repository of it.
 * @throws SourceError when it cannot be had, has another digest, or lacks the commit
 */
export async function stageBundle(
  id: GitIdentifier,
  places: BlobPlaces,
  git: GitCli,
  signal: AbortSignal,
): Promise<StagedBundle> {
  const directory = await temporaryDirectory();
  await using made = new AsyncDisposableStack();
  made.use(directory);
  const { name, digest, store } = locate(id);
  const file = join(directory.path, 'bundle.pack');
  try {
    const { bytes } = await openBlob(places, store, { reference: parseReference(name), digest }, signal);
    await download(bytes, file, digest, signal);
  } catch (cause) {
    if (signal.aborted) throw signal.reason;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new SourceError(`failed to fetch git bundle ${name}: ${reason}`, { cause });
  }
  const dir = join(directory.path, 'repo.git');
  const staged = await makeRepository(dir, await holdsSha256(file, git, signal), git, signal);
  await staged.run(['fetch', '--quiet', file, '+refs/*:refs/*'], signal);
  if (!(await contains(staged, id.checksum, signal)))
    throw new SourceError(`commit ${id.checksum} not found in bundle ${name}`);
  const owned = made.move();
  return { url: `file://${dir}`, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/**
 * Writes a commit with all that it stands on as the file `bundle` into a directory. Its ref is the one that was asked for.
 * @throws SourceError
 */
export async function writeBundle(
  repository: GitRepository,
  id: GitIdentifier,
  metadata: GitMetadata,
  target: string,
  signal: AbortSignal,
): Promise<void> {
  await using directory = await temporaryDirectory();
  const ref = bundleRef(id.ref);
  const { object } = metadata;
  const fresh = await makeRepository(join(directory.path, 'repo.git'), object.length === 64, repository.git, signal);
  const wanted = id.checksum === '' ? object : id.checksum;
  // Only a tag may name a tag.
  const revision = ref.startsWith('refs/tags/') ? wanted : `${wanted}^{commit}`;
  // Objects can be fetched by their refs only.
  const temporary = `refs/outcrop/${object}`;
  await repository.git.run(['update-ref', temporary, revision], signal);
  try {
    await fresh.run(['fetch', '--quiet', '--no-tags', `file://${repository.dir}`, `${temporary}:${ref}`], signal);
  } finally {
    await repository.git.run(['update-ref', '-d', temporary], signal);
  }
  const file = join(directory.path, 'out.bundle');
  await fresh.run(['bundle', 'create', '--quiet', file, ref], signal);
  await copyFile(file, join(target, 'bundle'));
  await chmod(join(target, 'bundle'), 0o644);
}

/** The full name under which a bundle holds what was asked for. A plain name is taken for a branch: it could be a tag, too. */
function bundleRef(ref: string): string {
  if (ref === '' || isObjectId(ref)) return NAMELESS;
  return ref.startsWith('refs/tags/') ? ref : `refs/heads/${ref.replace(/^refs\//, '').replace(/^heads\//, '')}`;
}

/** Where the bundle of a source is. `checkBundleLocator` has seen it. */
function locate({ bundle, bundleStore }: GitIdentifier): {
  readonly name: string;
  readonly digest: Digest;
  readonly store: string | undefined;
} {
  const [scheme = '', name = ''] = bundle.split('://');
  const { digest } = parseReference(name);
  if (digest === undefined) throw new SourceError(`failed to parse git.bundle locator "${bundle}": invalid digest`);
  if (scheme !== 'oci-layout+blob') return { name, digest, store: undefined };
  return { name, digest, store: bundleStore === '' ? name.slice(0, name.indexOf('@')) : bundleStore };
}

async function download(
  bytes: AsyncIterable<Uint8Array>,
  file: string,
  digest: Digest,
  signal: AbortSignal,
): Promise<void> {
  const hash = createHash('sha256');
  async function* hashed(): AsyncGenerator<Uint8Array> {
    for await (const chunk of bytes) {
      hash.update(chunk);
      yield chunk;
    }
  }
  await pipeline(Readable.from(hashed()), createWriteStream(file, { mode: 0o600 }), { signal });
  const actual = `sha256:${hash.digest('hex')}`;
  if (actual !== digest) throw new SourceError(`expected checksum to match ${digest}, got ${actual}`);
}

/** Whether the objects of a bundle are named by SHA-256. */
async function holdsSha256(file: string, git: GitCli, signal: AbortSignal): Promise<boolean> {
  const listing = await git.run(['ls-remote', '--', file], signal);
  const object = listing.split('\t')[0] ?? '';
  if (!isObjectId(object)) throw new SourceError(`failed to inspect git bundle ${file}: no refs found`);
  return object.length === 64;
}

async function temporaryDirectory(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'outcrop-bundle-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}
