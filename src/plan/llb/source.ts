import { cleanPath } from '../../wire/fsutil/go-path.ts';
import type { Digest } from '../../wire/oci/digest.ts';
import { goJson } from '../../wire/oci/go-json.ts';
import { formatReference, parseReference, withDefaultTag } from '../../wire/oci/reference.ts';
import { parseGitRemote } from './git-url.ts';
import { makeOp } from './op.ts';
import type { Edge, EncodeContext, VertexOptions } from './vertex.ts';

/** Attributes by name with the capability that using each needs; only those with a value count. */
type Attribute = readonly [name: string, value: string | undefined, capability?: string | undefined];

interface SourceSpec {
  readonly identifier: string;
  readonly attributes: readonly Attribute[];
  readonly capabilities: readonly string[];
  readonly platform: 'with platform' | 'without platform';
}

/**
 * A source of any kind. `spec` is called when the graph is written, so that attributes may depend on what the rest of the
 * graph turned out to need.
 */
function sourceEdge(options: VertexOptions, spec: (context: EncodeContext) => SourceSpec): Edge {
  return {
    output: 0,
    vertex: {
      inputs: () => [],
      encode: context => {
        const { identifier, attributes, capabilities, platform } = spec(context);
        const attrs: Record<string, string> = {};
        const used = [...capabilities];
        for (const [name, value, capability] of attributes) {
          if (value === undefined || value === '') continue;
          attrs[name] = value;
          if (capability !== undefined) used.push(capability);
        }
        const op = makeOp(context, options, platform, { op: { case: 'source', value: { identifier, attrs } } });
        return { op, capabilities: used, options };
      },
    },
  };
}

/** How an image is looked up: `default` asks what is there first, `pull` the registry always, `local` never if it is there. */
export type ResolveMode = 'default' | 'pull' | 'local';

export interface ImageOptions extends VertexOptions {
  readonly resolveMode?: ResolveMode;
  /** What the record of usage says that the image is for. */
  readonly recordType?: 'internal' | 'frontend';
  /** How many layers are used, from the bottom. */
  readonly layerLimit?: number;
  readonly checksum?: Digest;
}

/**
 * An image of a registry. The reference is normalised: `alpine` is `docker.io/library/alpine:latest`.
 * @throws ReferenceError when `reference` is none
 */
export function imageSource(reference: string, options: ImageOptions = {}): Edge {
  const identifier = `docker-image://${formatReference(withDefaultTag(parseReference(reference)))}`;
  const { resolveMode = 'default' } = options;
  return sourceEdge(options, () => ({
    identifier,
    attributes: [
      [
        'image.resolvemode',
        resolveMode === 'default' ? undefined : resolveMode,
        resolveMode === 'pull' ? 'source.image.resolvemode' : undefined,
      ],
      ['image.recordtype', options.recordType],
      ['image.layerlimit', decimal(options.layerLimit), 'source.image.layerlimit'],
      ['image.checksum', options.checksum, 'source.image.checksum'],
    ],
    capabilities: ['source.image'],
    platform: 'with platform',
  }));
}

export interface LocalOptions extends VertexOptions {
  /** Id of the session that serves the directory. */
  readonly session?: string;
  readonly includePatterns?: readonly string[];
  readonly excludePatterns?: readonly string[];
  /** The paths that are needed, links followed; everything when there are none. */
  readonly followPaths?: readonly string[];
  /** Transfers with the same hint reuse what the last one sent. */
  readonly sharedKeyHint?: string;
  /** How the sender tells what changed: by metadata, or not at all. */
  readonly differ?: 'none' | 'metadata';
  /** Whether a server that does not know the differ must refuse. */
  readonly differRequired?: boolean;
  /** Only metadata is sent, but for these paths. */
  readonly metadataOnly?: { readonly except: readonly string[] };
}

/**
 * A directory of the client.
 * @param late paths that are known only when the rest of the graph is; asked for when the graph is written
 */
export function localSource(
  name: string,
  options: LocalOptions = {},
  late: () => Pick<LocalOptions, 'followPaths'> = () => ({}),
): Edge {
  return sourceEdge(options, ({ uniqueID }) => {
    const { followPaths = options.followPaths } = late();
    return {
      identifier: `local://${name}`,
      attributes: [
        ['local.session', options.session, 'source.local.sessionid'],
        ['local.unique', options.session ? undefined : uniqueID, 'source.local.unique'],
        ['local.includepattern', jsonList(options.includePatterns), 'source.local.includepatterns'],
        ['local.followpaths', jsonList(followPaths), 'source.local.followpaths'],
        ['local.excludepatterns', jsonList(options.excludePatterns), 'source.local.excludepatterns'],
        ['local.sharedkeyhint', options.sharedKeyHint, 'source.local.sharedkeyhint'],
        ['local.differ', options.differ, options.differRequired ? 'source.local.differ' : undefined],
        ['local.metadatatransfer', options.metadataOnly && 'true', 'source.local.metadatatransfer'],
        ['local.metadatatransferexclude', jsonList(options.metadataOnly?.except)],
      ],
      capabilities: ['source.local'],
      platform: 'without platform',
    };
  });
}

export interface HttpOptions extends VertexOptions, FileAttributes {
  readonly checksum?: Digest;
  /** Name of the secret that holds an authorization header. */
  readonly authHeaderSecret?: string;
  readonly headers?: { readonly accept?: string; readonly userAgent?: string };
  /** An armored signature that the file must have, and the keys that may have made it. */
  readonly signature?: { readonly publicKey: string; readonly signature: string };
}

/** What the one file of a downloaded source becomes. */
interface FileAttributes {
  readonly filename?: string;
  /** Permission bits; others are dropped. */
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
}

/** A file behind an `http://` or `https://` URL. */
export function httpSource(url: string, options: HttpOptions = {}): Edge {
  const owned = Boolean(options.uid) || Boolean(options.gid);
  return sourceEdge(options, () => ({
    identifier: url,
    attributes: [
      ...fileAttributes(options, 'source.http.perm'),
      ['http.checksum', options.checksum, 'source.http.checksum'],
      ['http.authheadersecret', options.authHeaderSecret, 'source.http.auth'],
      ['http.header.accept', options.headers?.accept, 'source.http.header'],
      ['http.header.user-agent', options.headers?.userAgent, 'source.http.header'],
      ['http.sig.pubkey', options.signature?.publicKey, 'source.http.signatureverify'],
      ['http.sig.signature', options.signature?.signature, 'source.http.signatureverify'],
    ],
    // The name is misspelt in BuildKit and so on the wire.
    capabilities: ['source.http', ...(owned ? ['soruce.http.uidgid'] : [])],
    platform: 'without platform',
  }));
}

function fileAttributes(options: FileAttributes, modeCapability?: string): Attribute[] {
  const mode = options.mode === undefined ? undefined : `0${(options.mode & 0o777).toString(8)}`;
  return [
    ['http.filename', options.filename],
    ['http.perm', mode, modeCapability],
    ['http.uid', decimal(options.uid)],
    ['http.gid', decimal(options.gid)],
  ];
}

/** Where the store of an OCI layout is: the session that serves it and its id there. */
export interface OciStore {
  readonly session?: string;
  readonly store?: string;
}

export interface BlobOptions extends VertexOptions, FileAttributes {}

/**
 * A blob of a registry as a file.
 * @param reference repository and digest
 */
export function imageBlobSource(reference: string, options: BlobOptions = {}): Edge {
  return blobSource('docker-image+blob', reference, options, {});
}

/** A blob of an OCI layout as a file. */
export function ociLayoutBlobSource(reference: string, store: OciStore, options: BlobOptions = {}): Edge {
  return blobSource('oci-layout+blob', reference, options, store);
}

function blobSource(scheme: string, text: string, options: BlobOptions, store: OciStore): Edge {
  const reference = parseReference(text);
  if (reference.tag !== undefined) throw new SourceError(`${text}: a blob is named by its digest, not by a tag`);
  if (reference.digest === undefined) throw new SourceError(`${text}: a blob needs a digest`);
  return sourceEdge(options, () => ({
    identifier: `${scheme}://${formatReference(reference)}`,
    attributes: [...fileAttributes(options), ['oci.session', store.session], ['oci.store', store.store]],
    capabilities: ['source.imageblob'],
    platform: 'without platform',
  }));
}

export interface OciLayoutOptions extends VertexOptions, OciStore {
  readonly layerLimit?: number;
}

/**
 * An image of an OCI layout of the client.
 * @param reference repository and digest
 */
export function ociLayoutSource(reference: string, options: OciLayoutOptions = {}): Edge {
  return sourceEdge(options, () => ({
    identifier: `oci-layout://${reference}`,
    attributes: [
      ['oci.session', options.session],
      ['oci.store', options.store],
      ['oci.layerlimit', decimal(options.layerLimit)],
    ],
    capabilities: ['source.ocilayout'],
    platform: 'with platform',
  }));
}

/** A source that cannot be named so. */
export class SourceError extends Error {
  override readonly name = 'SourceError';
}

export interface GitOptions extends VertexOptions {
  readonly ref?: string;
  readonly subdir?: string;
  readonly keepGitDir?: boolean;
  /** Names of the secrets with a token or a header for the server. */
  readonly authTokenSecret?: string;
  readonly authHeaderSecret?: string;
  /** The commit that `ref` must be, or an abbreviation of it. */
  readonly checksum?: string;
  readonly skipSubmodules?: boolean;
  /** Times of the files: of the checkout or of the commit. */
  readonly mtime?: 'checkout' | 'commit';
  readonly fetchByCommit?: boolean;
  /** The server's keys, as in `known_hosts`, and the id of the forwarded agent; for ssh remotes. */
  readonly knownSshHosts?: string;
  readonly sshID?: string;
  /** Where a bundle of the repository is found: `docker-image+blob://…` or `oci-layout+blob://…`. */
  readonly bundle?: { readonly locator: string } & OciStore;
  readonly checkoutBundle?: boolean;
}

/** A git repository. The remote may carry `#ref:subdir`; one without scheme is taken as `https://`. */
export function gitSource(remote: string, options: GitOptions = {}): Edge {
  const url = parseGitRemote(remote);
  const ref = options.ref ?? url.ref;
  const subdir = options.subdir ?? url.subdir;
  const fragment = ref || subdir ? `#${ref}${subdir && `:${subdir}`}` : '';
  const overSsh = url.scheme === 'ssh';
  const authGiven = options.authTokenSecret !== undefined || options.authHeaderSecret !== undefined;
  return sourceEdge(options, () => ({
    identifier: `git://${url.host}${cleanPath(`/${url.path}`)}${fragment}`,
    attributes: [
      ['git.fullurl', url.remote, 'source.git.fullurl'],
      ['git.keepgitdir', flag(options.keepGitDir), 'source.git.keepgitdir'],
      [
        'git.authtokensecret',
        options.authTokenSecret ?? 'GIT_AUTH_TOKEN',
        authGiven ? 'source.git.httpauth' : undefined,
      ],
      ['git.authheadersecret', options.authHeaderSecret ?? 'GIT_AUTH_HEADER'],
      ['git.knownsshhosts', overSsh ? options.knownSshHosts : undefined],
      ['git.mountsshsock', overSsh ? (options.sshID ?? 'default') : undefined],
      ['git.checksum', options.checksum, 'source.git.checksum'],
      ['git.skipsubmodules', flag(options.skipSubmodules), 'source.git.skipsubmodules'],
      ['git.mtime', options.mtime, 'source.git.mtime'],
      ['git.fetchbycommit', flag(options.fetchByCommit), 'source.git.fetchbycommit'],
      ['git.bundle', options.bundle?.locator, 'source.git.bundle'],
      ['oci.session', options.bundle?.session],
      ['oci.store', options.bundle?.store],
      ['git.checkoutbundle', flag(options.checkoutBundle), 'source.git.checkoutbundle'],
    ],
    capabilities: ['source.git', ...(overSsh ? ['source.git.knownsshhosts', 'source.git.mountsshsock'] : [])],
    platform: 'without platform',
  }));
}

function flag(value: boolean | undefined): string | undefined {
  return value ? 'true' : undefined;
}

function decimal(value: number | undefined): string | undefined {
  return value ? String(value) : undefined;
}

function jsonList(list: readonly string[] | undefined): string | undefined {
  return list === undefined || list.length === 0 ? undefined : goJson(list);
}
