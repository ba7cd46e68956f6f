/** What a build is asked to do, whichever builder does it. The command line and the daemon's front doors make one. */

/** Where the files of a build lie. */
export type BuildSource =
  | { readonly kind: 'directory'; readonly dir: string }
  | { readonly kind: 'remote'; readonly url: string }
  | { readonly kind: 'empty' };

/** Where the Dockerfile lies: a file of a directory, its text, or inside the remote context. */
export type DockerfileSource =
  | { readonly kind: 'file'; readonly dir: string; readonly filename: string }
  | { readonly kind: 'text'; readonly text: Uint8Array }
  | { readonly kind: 'in-context'; readonly filename: string };

/** One `--output`: an exporter, its attributes, and where on this machine the result goes. */
export interface OutputRequest {
  readonly type: 'image' | 'oci' | 'docker' | 'local' | 'tar';
  /** Attributes in BuildKit's names (`name`, `push`, `compression`, …). */
  readonly attributes: Readonly<Record<string, string>>;
  /** A path, `-` for standard output, or nothing where the exporter keeps or loads the image. */
  readonly dest?: string;
}

/** A secret's value: from a file or from an environment variable. */
export interface SecretRequest {
  readonly id: string;
  readonly file?: string;
  readonly env?: string;
}

/** An ssh agent to forward, or the private keys to serve as one. */
export interface SshRequest {
  readonly id: string;
  readonly paths: readonly string[];
}

/** One `--cache-from` or `--cache-to`. */
export interface CacheRequest {
  readonly type: string;
  readonly attributes: Readonly<Record<string, string>>;
}

/** A whole build. Empty lists and maps where nothing was asked for. */
export interface BuildRequest {
  readonly context: BuildSource;
  readonly dockerfile: DockerfileSource;
  readonly namedContexts: ReadonlyMap<string, string>;
  readonly target?: string;
  readonly buildArgs: ReadonlyMap<string, string>;
  readonly labels: ReadonlyMap<string, string>;
  /** Attestations by type (`provenance`, `sbom`), their attributes as CSV. */
  readonly attests: ReadonlyMap<string, string>;
  readonly platforms: readonly string[];
  readonly tags: readonly string[];
  readonly outputs: readonly OutputRequest[];
  /** `all`, or the names of the stages that are built anew. */
  readonly noCache: 'all' | readonly string[];
  readonly pull: boolean;
  /** Cache mounts are empty at first, and nothing of them stays. */
  readonly coldMounts?: true;
  readonly network?: string;
  readonly addHosts: readonly string[];
  readonly shmSize?: number;
  readonly ulimits: readonly string[];
  readonly cgroupParent?: string;
  readonly secrets: readonly SecretRequest[];
  readonly ssh: readonly SshRequest[];
  readonly allow: readonly string[];
  readonly cacheFrom: readonly CacheRequest[];
  readonly cacheTo: readonly CacheRequest[];
  /** Whether the result is to tell what `--metadata-file` holds beside the exporters' answers. */
  readonly metadata: boolean;
  /** The value of `SOURCE_DATE_EPOCH` in the environment, if set. */
  readonly sourceDateEpoch?: string;
}

/** A build of an empty context in which nothing was asked for; its Dockerfile is still to be named. */
export const PLAIN_REQUEST: Omit<BuildRequest, 'dockerfile'> = {
  context: { kind: 'empty' },
  namedContexts: new Map(),
  buildArgs: new Map(),
  labels: new Map(),
  attests: new Map(),
  platforms: [],
  tags: [],
  outputs: [],
  noCache: [],
  pull: false,
  addHosts: [],
  ulimits: [],
  secrets: [],
  ssh: [],
  allow: [],
  cacheFrom: [],
  cacheTo: [],
  metadata: false,
};

/** What a build came to: what exporters answered, in the names that buildx writes into `--metadata-file`. */
export interface BuildResult {
  readonly response: Readonly<Record<string, string>>;
}
