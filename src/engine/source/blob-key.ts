import { type Digest, digestOf } from '../../wire/oci/digest.ts';
import { goJson } from '../../wire/oci/go-json.ts';
import { parseReference, type Reference, repositoryName } from '../../wire/oci/reference.ts';
import { type FileAttributes, fileAttributes, filePartsOf } from './http-key.ts';
import { SourceError, type SourceKey, safeFileName } from './source-key.ts';

/** A blob source, read out of its op. */
export interface BlobIdentifier extends FileAttributes {
  readonly reference: Reference;
  readonly digest: Digest;
  /** Made safe; empty when not given. */
  readonly filename: string;
}

/**
 * Reads a blob source.
 * @param text `repository@digest`
 * @throws SourceError
 */
export function parseBlobSource(text: string, attrs: Readonly<Record<string, string>>): BlobIdentifier {
  const reference = parseReference(text);
  if (reference.digest === undefined) throw new SourceError(`${text}: a blob source needs a digest`);
  if (reference.tag !== undefined) throw new SourceError(`${text}: a blob source takes no tag`);
  const filename = attrs['http.filename'];
  return {
    reference,
    digest: reference.digest,
    filename: filename === undefined ? '' : safeFileName(filename),
    ...fileAttributes(attrs),
  };
}

/** The key of a blob: its repository is no part of it. */
export function blobKey(id: BlobIdentifier): SourceKey {
  const preimage = goJson({ Digest: id.digest, Filename: id.filename, Perm: id.perm, UID: id.uid, GID: id.gid });
  return {
    key: digestOf(preimage),
    preimage,
    parts: [
      { kind: 'blob', name: repositoryName(id.reference), value: id.digest },
      ...(id.filename === '' ? [] : [{ kind: 'blob', name: 'filename', value: id.filename }]),
      ...filePartsOf('blob', id),
    ],
  };
}
