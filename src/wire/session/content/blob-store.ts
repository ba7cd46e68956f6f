import type { Digest } from '../../oci/digest.ts';

/** What a store knows of a blob. */
export interface BlobInfo {
  readonly digest: Digest;
  /** In bytes. */
  readonly size: number;
  readonly createdAt?: Date;
  readonly updatedAt?: Date;
  readonly labels?: Readonly<Record<string, string>>;
}

/** How far the writing of a blob is. */
export interface IngestStatus {
  /** The name under which it is written. */
  readonly ref: string;
  /** Bytes that are there. */
  readonly offset: number;
  readonly startedAt: Date;
  readonly updatedAt: Date;
}

/** A blob that is being written, by one writer at a time. Disposing leaves what is written for another attempt. */
export interface BlobIngest extends AsyncDisposable {
  readonly status: IngestStatus;
  /** Of the bytes that are there. */
  digest(): Digest;
  /** Starts again. */
  truncate(): Promise<void>;
  append(data: Uint8Array): Promise<void>;
  /** The blob is complete and appears in the store; the caller has checked it. */
  commit(): Promise<void>;
}

/** Blobs by digest, as they are served to others. */
export interface BlobStore {
  info(digest: Digest): Promise<BlobInfo | undefined>;
  /** `length` bytes from `offset`, which are there. */
  read(digest: Digest, offset: number, length: number): AsyncIterable<Uint8Array>;
  list(): AsyncIterable<BlobInfo>;
  /** Absent where others may only read. */
  readonly writing?: {
    /** Begins to write, or goes on; undefined while another one writes under this name. */
    open(ref: string): Promise<BlobIngest | undefined>;
    status(ref: string): Promise<IngestStatus | undefined>;
    list(): Promise<readonly IngestStatus[]>;
    /** Drops what is written; returns whether there was something. */
    abort(ref: string): Promise<boolean>;
    /** Removes a blob; returns whether it was there. */
    delete(digest: Digest): Promise<boolean>;
  };
}
