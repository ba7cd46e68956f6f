/** What can be wrong with a path that is to be checksummed. */
export type ChecksumErrorKind = 'not-found' | 'not-a-directory' | 'too-many-links' | 'bad-pattern';

/** A path that has no content checksum. The message is BuildKit's. */
export class ContentChecksumError extends Error {
  override readonly name = 'ContentChecksumError';
  readonly kind: ChecksumErrorKind;

  constructor(kind: ChecksumErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }
}

/** A file that did not stay the same from the moment it was listed until its bytes were used. */
export class ChangedUnderBuildError extends Error {
  override readonly name = 'ChangedUnderBuildError';
  /** The path below the root of the tree. */
  readonly path: string;

  constructor(path: string, options?: ErrorOptions) {
    super(`${path} changed while it was being read. Nothing was cached. Build again when it is still.`, options);
    this.path = path;
  }
}
