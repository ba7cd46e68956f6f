import { writeDestination } from '../../engine/exporter/destination.ts';
import { dockerEngine } from '../../engine/exporter/docker-engine.ts';
import type { Descriptor } from '../../wire/oci/descriptor.ts';
import { enterIntoLayout } from '../../wire/session/content/layout-index.ts';
import type { ResultTarget } from '../../wire/session/file-send.ts';
import { BuildRequestError } from '../builder/frontend-options.ts';
import type { OutputRequest } from '../builder/request.ts';

/** The store that the daemon writes the blobs of a layout into. */
const EXPORT_STORE = 'export';

/** The outputs of a build as a daemon and the session understand them. */
export interface RemoteOutputs {
  readonly exporters: readonly { readonly Type: string; readonly Attrs: Record<string, string> }[];
  /** What comes back through the session, by the index of its exporter. */
  readonly targets: ReadonlyMap<number, ResultTarget>;
  /** Directories of OCI layouts by the id of their store. */
  readonly layouts: ReadonlyMap<string, string>;
  /** Completes what the daemon has sent. */
  finish(response: Readonly<Record<string, string>>, signal: AbortSignal): Promise<void>;
}

/** @throws BuildRequestError for an output that has nowhere to go */
export function remoteOutputs(outputs: readonly OutputRequest[], signal: AbortSignal): RemoteOutputs {
  const targets = new Map<number, ResultTarget>();
  const layouts = new Map<string, string>();
  for (const [index, output] of outputs.entries()) {
    const { type, attributes, dest } = output;
    if (type === 'image') continue;
    if (type === 'local' && dest !== undefined)
      targets.set(index, { kind: 'directory', path: dest, mirror: attributes['mode'] === 'delete' });
    else if (isLayout(output) && dest !== undefined) {
      if (layouts.has(EXPORT_STORE))
        throw new BuildRequestError('--output: one OCI layout can come from a remote builder, not several');
      layouts.set(EXPORT_STORE, dest);
    } else targets.set(index, { kind: 'bytes', write: bytes => write(bytes, dest, signal) });
  }
  return {
    exporters: outputs.map(({ type, attributes }) => ({ Type: type, Attrs: { ...attributes } })),
    targets,
    layouts,
    async finish(response, finishSignal) {
      const directory = layouts.get(EXPORT_STORE);
      const encoded = response['containerimage.descriptor'];
      if (directory === undefined || encoded === undefined) return;
      const descriptor: Descriptor = JSON.parse(Buffer.from(encoded, 'base64').toString());
      const names = (response['image.name'] ?? '').split(',').filter(name => name !== '');
      await enterIntoLayout(
        directory,
        descriptor,
        names.map(image => ({ image })),
        finishSignal,
      );
    },
  };
}

function isLayout({ type, attributes }: OutputRequest): boolean {
  return (type === 'oci' || type === 'docker') && /^(?:0|f|false)$/i.test(attributes['tar'] ?? '');
}

async function write(bytes: AsyncIterable<Uint8Array>, dest: string | undefined, signal: AbortSignal): Promise<void> {
  if (dest !== undefined) return writeDestination(dest, bytes, () => undefined, signal);
  const load = dockerEngine(process.env);
  if (load === undefined)
    throw new BuildRequestError('--load: there is no Docker engine; start it, set DOCKER_HOST, or give dest=FILE');
  await load(bytes, signal);
}
