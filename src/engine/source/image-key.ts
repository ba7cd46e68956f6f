import { createHash } from 'node:crypto';
import type { Platform } from '../../wire/oci/descriptor.ts';
import { type Digest, digestOf } from '../../wire/oci/digest.ts';
import { goJson } from '../../wire/oci/go-json.ts';
import { diffIdsOf, type ImageConfig, ImageConfigError, parseImageConfig } from '../../wire/oci/image-config.ts';
import { formatPlatformAll } from '../../wire/oci/platform.ts';
import type { KeyPart } from '../status/event.ts';
import { SourceError, type SourceKey } from './source-key.ts';

/** What the keys of an image are made of. */
export interface ImageKeyInput {
  /** As the step names it; shown, but in no key. */
  readonly name: string;
  /** Digest of what the reference names: of the index if it is one. */
  readonly root: Digest;
  /** Normalised. */
  readonly platform: Platform;
  readonly config: Uint8Array;
  readonly layerLimit: number | undefined;
}

/**
 * The two keys of an image: one that changes with every push, one that changes only with its layers.
 * @throws SourceError when the layer limit is above the number of layers
 */
export function imageKeys(input: ImageKeyInput): [SourceKey, SourceKey] {
  const { platform, root, layerLimit } = input;
  const preimage = goJson({
    Digest: root,
    OS: platform.os,
    Arch: platform.architecture,
    Variant: platform.variant || undefined,
    OSVersion: platform['os.version'] || undefined,
    OSFeatures: platform['os.features']?.length ? platform['os.features'] : undefined,
    Limit: layerLimit,
  });
  const limit: KeyPart[] =
    layerLimit === undefined ? [] : [{ kind: 'image', name: 'layer limit', value: String(layerLimit) }];
  const byRoot: SourceKey = {
    key: digestOf(preimage),
    preimage,
    parts: [
      { kind: 'image', name: input.name, value: root },
      { kind: 'platform', name: '', value: formatPlatformAll(platform) },
      ...limit,
    ],
  };
  const chain = chainOf(input);
  if (chain === undefined) return [byRoot, byRoot];
  return [byRoot, { key: chain, parts: [{ kind: 'image', name: 'layers', value: chain }, ...limit] }];
}

function chainOf({ config, layerLimit }: ImageKeyInput): Digest | undefined {
  let parsed: ImageConfig;
  try {
    parsed = parseImageConfig(config);
  } catch (error) {
    if (layerLimit !== undefined || !(error instanceof ImageConfigError)) throw error;
    return digestOf(config);
  }
  const diffIds = diffIdsOf(parsed);
  if (layerLimit !== undefined && diffIds.length < layerLimit) {
    throw new SourceError(`image has ${diffIds.length} layers, limit is ${layerLimit}`);
  }
  const used = layerLimit === undefined ? diffIds : diffIds.slice(0, layerLimit);
  return parsed.rootfs.type === 'layers' ? chainId(used) : undefined;
}

/** The chain id of layers (OCI image spec, config.md): one digest for a stack of them. Undefined for no layers. */
function chainId(diffIds: readonly Digest[]): Digest | undefined {
  const [first, ...rest] = diffIds;
  if (first === undefined) return undefined;
  return rest.reduce((chain, diffId): Digest => {
    return `sha256:${createHash('sha256').update(`${chain} ${diffId}`).digest('hex')}`;
  }, first);
}
