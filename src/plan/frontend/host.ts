/** What a frontend asks of the engine that it plans for: the embedded one, or a BuildKit daemon through its gateway. */
import type { Platform } from '../../wire/oci/descriptor.ts';
import type { Digest } from '../../wire/oci/digest.ts';
import type { Definition } from '../../wire/proto/gen/pb/ops_pb.ts';
import type { OciStore, ResolveMode } from '../llb/index.ts';

export interface FrontendHost {
  /** Of the client, whose directories, layouts and secrets are used. */
  readonly sessionID: string;
  /** What the first worker builds for; the first of them is the build platform. */
  readonly buildPlatforms: readonly [Platform, ...Platform[]];
  /** Whether the solver knows a capability of the graph. */
  supports(capability: string): boolean;
  /** Looks an image up; shown as a step named `request.logName`. Rejects when there is none, with OtherSourceError too. */
  resolveImageConfig(request: ImageConfigRequest, signal: AbortSignal): Promise<ResolvedImageConfig>;
  /** Solves a graph whose files the plan depends on. Not called for scratch. */
  solve(definition: Definition, signal: AbortSignal): Promise<SolvedFiles>;
  /** What is known of a source before it is fetched. */
  resolveSourceTime(request: SourceTimeRequest, signal: AbortSignal): Promise<SourceTime>;
  /** Graphs that the client passes in, by name. */
  inputs(signal: AbortSignal): Promise<ReadonlyMap<string, Definition>>;
  /** A random id, different each time. */
  newID(): string;
}

/** A source policy puts something that is no image in the place of one. */
export class OtherSourceError extends Error {
  override readonly name = 'OtherSourceError';
  /** What it puts there, as graphs name it: `local://name`. */
  readonly identifier: string;

  constructor(ref: string, identifier: string) {
    super(`ref mutated by policy to non-image: docker-image://${ref} -> ${identifier}`);
    this.identifier = identifier;
  }
}

export interface ImageConfigRequest {
  /** Normalised. */
  readonly ref: string;
  readonly platform?: Platform;
  readonly resolveMode: ResolveMode;
  readonly logName: string;
  /** Where to look instead of a registry. */
  readonly ociLayout?: OciStore;
}

export interface ResolvedImageConfig {
  /** The reference, which a policy may have changed. */
  readonly ref: string;
  /** Of what the reference names: of an index if it is one. */
  readonly digest?: Digest;
  /** The bytes of the config for the platform. */
  readonly config: Uint8Array;
}

/** The files of a solved graph. */
export interface SolvedFiles {
  /** The file, or its first `length` bytes. Rejects when there is none. */
  readFile(path: string, signal: AbortSignal, length?: number): Promise<Uint8Array>;
}

interface SourceTimeRequest {
  readonly identifier: string;
  readonly attrs: Readonly<Record<string, string>>;
  readonly logName: string;
}

/** Seconds since 1970; nothing when the source does not say. */
export interface SourceTime {
  /** When the commit was made (git) or the file changed (`Last-Modified`). */
  readonly changed?: number;
  /** For a download without a time that is an archive: of its newest file. Fetches it. */
  readonly newestFile?: (signal: AbortSignal) => Promise<number | undefined>;
}
