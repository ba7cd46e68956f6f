/** One side of a transfer: the encoded packets of the other side, and a way to send ours. */
export interface PacketStream {
  readonly incoming: AsyncIterable<Uint8Array>;
  /** Settles when the connection takes more. */
  send(packet: Uint8Array): Promise<void>;
}
