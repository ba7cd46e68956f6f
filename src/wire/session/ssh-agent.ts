/** Types of the messages of ssh agents (draft-ietf-sshm-ssh-agent). */
const REQUEST_IDENTITIES = 11;
const SIGN_REQUEST = 13;
const FAILURE = 5;
const EXTENSION = 27;
const EXTENSION_FAILURE = 28;
const PREFIX = 4;
/** As OpenSSH has it. */
const LARGEST = 256 * 1024;

/** A message for an ssh agent that cannot be one. */
class AgentProtocolError extends Error {
  override readonly name = 'AgentProtocolError';
}

/** The messages of an ssh agent's stream, each with its length before it. Throws AgentProtocolError. */
export async function* agentMessages(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer, void, undefined> {
  let pending: Buffer = Buffer.alloc(0);
  for await (const chunk of stream) {
    pending = pending.length === 0 ? Buffer.from(chunk) : Buffer.concat([pending, chunk]);
    while (pending.length >= PREFIX) {
      const end = PREFIX + pending.readUInt32BE(0);
      if (end === PREFIX || end > LARGEST) throw new AgentProtocolError('not a message of an ssh agent');
      if (pending.length < end) break;
      yield pending.subarray(0, end);
      pending = pending.subarray(end);
    }
  }
}

/**
 * What a step may ask an agent for: its keys and signatures. Returns undefined for those, and for all else, which would change
 * the agent, the answer that refuses it.
 */
export function refusalOf(message: Buffer): Buffer | undefined {
  const type = message[PREFIX];
  if (type === REQUEST_IDENTITIES || type === SIGN_REQUEST) return undefined;
  return Buffer.from([0, 0, 0, 1, type === EXTENSION ? EXTENSION_FAILURE : FAILURE]);
}
