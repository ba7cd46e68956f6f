import type { Digest } from './digest.ts';
import { isDigest } from './digest.ts';

/** How a container of the image is checked for health. Times are nanoseconds. */
export interface Healthcheck {
  readonly Test?: readonly string[];
  readonly Interval?: number;
  readonly Timeout?: number;
  readonly StartPeriod?: number;
  readonly StartInterval?: number;
  readonly Retries?: number;
}

/** How a container of the image is run (OCI image spec, config.md; the last five are Docker's). */
interface RunConfig {
  readonly User?: string;
  readonly ExposedPorts?: Readonly<Record<string, object>>;
  readonly Env?: readonly string[];
  readonly Entrypoint?: readonly string[] | null;
  readonly Cmd?: readonly string[] | null;
  readonly Volumes?: Readonly<Record<string, object>>;
  readonly WorkingDir?: string;
  readonly Labels?: Readonly<Record<string, string>>;
  readonly StopSignal?: string;
  readonly ArgsEscaped?: boolean;
  readonly Healthcheck?: Healthcheck;
  readonly OnBuild?: readonly string[];
  readonly Shell?: readonly string[];
}

/** One step of how the image was made. `created` is RFC 3339 text. */
export interface History {
  readonly created?: string;
  readonly created_by?: string;
  readonly author?: string;
  readonly comment?: string;
  readonly empty_layer?: boolean;
}

/** The config of an image (OCI image spec, config.md, with Docker's additions). */
export interface ImageConfig {
  readonly created?: string | null;
  readonly author?: string;
  readonly architecture: string;
  readonly os: string;
  readonly 'os.version'?: string;
  readonly 'os.features'?: readonly string[];
  readonly variant?: string;
  readonly rootfs: { readonly type: string; readonly diff_ids: readonly Digest[] | null };
  readonly history?: readonly History[];
  readonly config?: RunConfig;
}

/** A config that cannot be read. */
export class ImageConfigError extends Error {
  override readonly name = 'ImageConfigError';
}

/**
 * Reads the bytes of an image config; members of unknown names are kept.
 * @throws ImageConfigError when it is not a JSON object or its diffIDs are no digests
 */
export function parseImageConfig(bytes: Uint8Array): ImageConfig {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw new ImageConfigError('invalid image config: not JSON', { cause });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new ImageConfigError('invalid image config: not a JSON object');
  }
  const config = value as Partial<ImageConfig>;
  const diffIds = config.rootfs?.diff_ids ?? [];
  if (!Array.isArray(diffIds) || !diffIds.every(id => typeof id === 'string' && isDigest(id))) {
    throw new ImageConfigError('invalid image config: rootfs.diff_ids must be a list of digests');
  }
  return {
    ...config,
    architecture: config.architecture ?? '',
    os: config.os ?? '',
    rootfs: { type: config.rootfs?.type ?? '', diff_ids: diffIds },
  };
}

/** The diffIDs of the layers, bottom first; empty for an image without layers. */
export function diffIdsOf(config: ImageConfig): readonly Digest[] {
  return config.rootfs.diff_ids ?? [];
}
