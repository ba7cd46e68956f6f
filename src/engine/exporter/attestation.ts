import type { Descriptor } from '../../wire/oci/descriptor.ts';
import { hexOf } from '../../wire/oci/digest.ts';
import { goJson, goJsonIndented } from '../../wire/oci/go-json.ts';
import { OCI_CONFIG, OCI_EMPTY, OCI_MANIFEST } from '../../wire/oci/media-types.ts';
import { familiarName, parseReference } from '../../wire/oci/reference.ts';
import { type Document, orderedDescriptor } from './manifest.ts';
import type { AttestationSubject } from './result.ts';

const ARTIFACT_TYPE = 'application/vnd.docker.attestation.manifest.v1+json';
export const IN_TOTO = 'application/vnd.in-toto+json';

/** The empty JSON object that stands for the config of an artifact (OCI image spec, manifest.md). */
export const EMPTY_CONFIG = {
  mediaType: OCI_EMPTY,
  digest: 'sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a',
  size: 2,
} as const satisfies Descriptor;

/**
 * An in-toto statement about files or an image.
 *
 * @param defaults - what the exporter makes
 * @param subjects - what the statement is about, if that is not all of it
 */
export function statement(
  predicateType: string,
  predicate: string,
  defaults: readonly { readonly name: string; readonly sha256: string }[],
  subjects: readonly AttestationSubject[] = [],
): string {
  const own = defaults.map(({ name, sha256 }) => ({ name, digest: { sha256 } }));
  const subject =
    subjects.length === 0
      ? own
      : subjects.flatMap(one => {
          if (one.kind === 'raw') return [{ name: one.name, digest: one.digest }];
          return own.flatMap(self => (one.name === '' ? [self] : [self, { ...self, name: one.name }]));
        });
  const head = goJson({ _type: 'https://in-toto.io/Statement/v1', predicateType, subject });
  return `${head.slice(0, -1)},"predicate":${predicate}}`;
}

/** The subjects of an image's statement: a package URL for each of its names. */
export function imageSubjects(
  names: readonly string[],
  manifest: Descriptor,
  platform: string,
): { name: string; sha256: string }[] {
  return names.map(name => ({ name: packageUrl(name, platform), sha256: hexOf(manifest.digest) }));
}

/** `pkg:docker/acme/att@1?platform=linux%2Famd64` (package-url spec, type docker). */
function packageUrl(name: string, platform: string): string {
  const reference = parseReference(name);
  const path = familiarName(reference);
  const encoded = path.split('/').map(encodeURIComponent).join('/');
  const version = reference.digest ?? reference.tag ?? 'latest';
  return `pkg:docker/${encoded}@${encodeURIComponent(version)}?platform=${encodeURIComponent(platform)}`;
}

/** The manifest that holds statements about an image. `artifact` chooses between the OCI artifact and the older form. */
export function attestationManifest(
  image: Descriptor,
  statements: readonly (Descriptor & { readonly annotations: Readonly<Record<string, string>> })[],
  config: Descriptor,
  artifact: boolean,
): Document {
  const layers = statements.map(orderedDescriptor);
  const text = artifact
    ? goJsonIndented({
        schemaVersion: 2,
        mediaType: OCI_MANIFEST,
        artifactType: ARTIFACT_TYPE,
        config: orderedDescriptor({ ...EMPTY_CONFIG, data: Buffer.from('{}').toString('base64') }),
        layers,
        subject: orderedDescriptor({ mediaType: image.mediaType, digest: image.digest, size: image.size }),
      })
    : goJsonIndented({ schemaVersion: 2, mediaType: OCI_MANIFEST, config: orderedDescriptor(config), layers });
  return { mediaType: OCI_MANIFEST, text };
}

/** The config of the older form of attestation manifests. */
export function attestationConfig(statements: readonly Descriptor[]): Document {
  const text = goJson({
    architecture: 'unknown',
    os: 'unknown',
    config: {},
    rootfs: { type: 'layers', diff_ids: statements.map(({ digest }) => digest) },
  });
  return { mediaType: OCI_CONFIG, text };
}
