import type { Descriptor, Platform } from '../../wire/oci/descriptor.ts';
import type { Digest } from '../../wire/oci/digest.ts';
import type { Ref } from '../ops/ref.ts';
import type { Timestamp } from '../status/event.ts';

/** What a build made for one platform. */
export interface PlatformResult {
  /** `linux/arm/v7`: how the platform is named in answers and directories. */
  readonly id: string;
  readonly platform: Platform;
  readonly ref: Ref;
  /** The image config as the frontend made it, JSON text; absent for results that are no image. */
  readonly config?: string;
  /** The config of the base image, whose layers and history keep their times. */
  readonly baseConfig?: string;
  readonly attestations: readonly Attestation[];
  /** Records of an inline cache, JSON text; needs the layers' descriptors, bottom first. */
  readonly inlineCache?: (layers: readonly LayerBlob[], signal: AbortSignal) => Promise<string | undefined>;
}

/** What a statement is about: what the exporter makes, under one more name if one is given, or something of the frontend's. */
export type AttestationSubject =
  | { readonly kind: 'self'; readonly name: string }
  | { readonly kind: 'raw'; readonly name: string; readonly digest: Readonly<Record<string, string>> };

/** An in-toto statement about a platform's image; exporters add the subjects. */
export interface Attestation {
  readonly predicateType: string;
  /** Attached only where the exporter says so (`attestation-inline`). */
  readonly inlineOnly: boolean;
  /** Whether it is the bill of materials of the result itself: images say in it which layer each file is in. */
  readonly isCore?: boolean;
  /** What it is about; what the exporter makes unless said. */
  readonly subjects?: readonly AttestationSubject[];
  /** Name of its file in directory outputs. */
  readonly filename: string;
  /** The predicate as JSON text; asked for once the layers' descriptors are known. */
  readonly predicate: (signal: AbortSignal) => Promise<string>;
}

/** What a build made, before it is exported. */
export interface BuildOutput {
  readonly platforms: readonly PlatformResult[];
  /** One index over all platforms, even for a single one. */
  readonly multiPlatform: boolean;
  /** `SOURCE_DATE_EPOCH` in seconds, from the build arguments or the environment. */
  readonly epoch?: number;
  /** What the frontend calls the image: its name where the output leaves that to the frontend (`name=*`). */
  readonly imageName?: string;
  /** Annotations set by the frontend, in the exporter's attribute names. */
  readonly annotations: Readonly<Record<string, string>>;
}

/** A layer of an image as a blob. */
export interface LayerBlob {
  readonly descriptor: Descriptor;
  readonly diffID: Digest;
  readonly createdAt: Timestamp;
  /** Name of the step that made it. */
  readonly description?: string;
}
