/** A file transfer that failed, at either end. */
export class TransferError extends Error {
  override readonly name = 'TransferError';
}
