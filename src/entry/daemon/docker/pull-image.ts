import { unlessAborted } from '../../../engine/solver/flight.ts';
import { registryContent, resolveImage } from '../../../engine/source/image-content.ts';
import type { Descriptor, Platform } from '../../../wire/oci/descriptor.ts';
import { formatReference, type Reference } from '../../../wire/oci/reference.ts';
import type { RegistryClient } from '../../../wire/registry/client.ts';
import type { Engine } from '../../builder/engine.ts';
import type { MessageStream } from './message-stream.ts';

/** How many layers are fetched at once. */
const AT_ONCE = 3;

/**
 * Fetches an image for a platform and gives it its name here.
 * @returns what the name stands for, and whether it stood for that before
 */
export async function pullImage(
  engine: Engine,
  registry: RegistryClient,
  reference: Reference,
  platform: Platform,
  messages: MessageStream,
  signal: AbortSignal,
): Promise<{ readonly target: Descriptor; readonly isNew: boolean }> {
  const { content, images } = engine;
  const root = await registry.resolve(reference, signal);
  const parts = registryContent(content, images, registry, reference);
  const { layers } = await resolveImage(parts, root, platform, signal);
  const waiting = [...layers];
  for (const { descriptor } of layers) say(messages, descriptor, 'Pulling fs layer');
  async function fetchNext(): Promise<void> {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const { descriptor } = next;
      const { digest, size } = descriptor;
      const wasHere = content.has(digest, size);
      if (!wasHere) await content.write(registry.blob(reference, descriptor, {}, signal), { digest, size }, signal);
      say(messages, descriptor, wasHere ? 'Already exists' : 'Pull complete');
    }
  }
  await unlessAborted(Promise.all(Array.from({ length: AT_ONCE }, fetchNext)), signal);
  const name = formatReference(reference);
  const isNew = images.get(name)?.target.digest !== root.digest;
  images.put(name, root);
  return { target: root, isNew };
}

function say(messages: MessageStream, { digest }: Descriptor, status: string): void {
  messages.send({ status, progressDetail: {}, id: digest.slice('sha256:'.length, 'sha256:'.length + 12) });
}
