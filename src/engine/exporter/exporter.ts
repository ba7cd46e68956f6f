import type { ContentStore } from '../../store/content/content-store.ts';
import type { ImageStore } from '../../store/content/images.ts';
import type { FileTree } from '../../store/snapshot/file-tree.ts';
import { goJson } from '../../wire/oci/go-json.ts';
import { formatReference, parseReference, type Reference, withDefaultTag } from '../../wire/oci/reference.ts';
import type { RegistryClient } from '../../wire/registry/client.ts';
import type { Ref } from '../ops/ref.ts';
import type { Timestamp } from '../status/event.ts';
import { attestationFiles } from './attestation-files.ts';
import {
  ExporterAttributeError,
  type ImageAttributes,
  leavesName,
  readBoolean,
  readEpoch,
  readImageAttributes,
  withFrontendName,
} from './attributes.ts';
import type { ExportProgress } from './export-progress.ts';
import { type ExportTarget, pathTarget } from './export-target.ts';
import { createdAnnotation, type ImageLayers, type WrittenImage, writeImage } from './image-writer.ts';
import { orderedDescriptor } from './manifest.ts';
import { mergeTrees, type TreePart } from './merged-tree.ts';
import { ociArchive } from './oci-archive.ts';
import { pushImage } from './push.ts';
import type { BuildOutput } from './result.ts';
import { treeTar } from './tar.ts';

/** One `--output`. */
export interface ExportRequest {
  readonly type: 'image' | 'oci' | 'docker' | 'local' | 'tar';
  readonly attributes: Readonly<Record<string, string>>;
  /** Where the result goes, unless the engine keeps it. */
  readonly target?: ExportTarget;
}

/** What exporters get from the engine. */
export interface ExportContext {
  readonly content: ContentStore;
  readonly images: ImageStore;
  readonly layers: ImageLayers;
  /** The client for a host; `insecure`: plain HTTP will do, and certificates are not checked. */
  readonly registryFor: (host: string, insecure: boolean) => RegistryClient;
  /** The repository that a blob is known to be in, for mounting it instead of uploading. */
  readonly repositoryOf: (digest: string) => string | undefined;
  /** Shows the files of a result, unpacked; mounted until it is disposed. */
  readonly open: (ref: Ref, signal: AbortSignal) => Promise<{ readonly tree: FileTree } & AsyncDisposable>;
  /** Hands a docker archive to an engine; undefined where there is none. */
  readonly loadIntoEngine: ((archive: AsyncIterable<Uint8Array>, signal: AbortSignal) => Promise<void>) | undefined;
  readonly now: () => Timestamp;
}

/** A checked output that is ready to take a result. */
export interface Exporter {
  /** What its vertex is called. */
  readonly name: string;
  /** Writes the result; returns the answers that clients get (`containerimage.digest`, …). */
  export(output: BuildOutput, progress: ExportProgress, signal: AbortSignal): Promise<Record<string, string>>;
}

/**
 * The exporter for an output; its attributes are checked at once.
 * @throws ExporterAttributeError
 */
export function createExporter(request: ExportRequest, context: ExportContext): Exporter {
  switch (request.type) {
    case 'local':
      return localExporter(request, context);
    case 'tar':
      return tarExporter(request, context);
    case 'image':
      return imageExporter(readImageAttributes('image', request.attributes), context);
    default:
      return archiveExporter(request, readImageAttributes(request.type, request.attributes), context);
  }
}

/** The names of an image. @throws ImageReferenceError for one that is none */
function namesOf({ names }: ImageAttributes): Reference[] {
  return names.map(name => withDefaultTag(parseReference(name)));
}

function imageExporter(asked: ImageAttributes, context: ExportContext): Exporter {
  if (!leavesName(asked)) namesOf(asked);
  if (asked.push && asked.names.length === 0) {
    throw new ExporterAttributeError('a push needs a name: give one with -t or name=…');
  }
  return {
    name: 'exporting to image',
    async export(output, progress, signal) {
      const attributes = withFrontendName(asked, output.imageName);
      const names = namesOf(attributes);
      const image = await writeImage(output, attributes, { ...context, progress }, signal);
      if (attributes.store) {
        for (const name of storedNames(names, image, attributes)) {
          await progress.step(`naming to ${name}`, async () => void context.images.put(name, image.descriptor));
        }
      }
      if (attributes.push) {
        const options = { byDigest: attributes.pushByDigest, mountFrom: context.repositoryOf };
        for (const name of attributes.pushByDigest ? attributes.names.map(parseReference) : names) {
          const registry = context.registryFor(name.domain, attributes.insecureRegistry);
          await pushImage(registry, context.content, image, name, options, progress, signal);
        }
      }
      return imageResponse(image, names);
    },
  };
}

function storedNames(names: readonly Reference[], image: WrittenImage, attributes: ImageAttributes): string[] {
  const { digest } = image.descriptor;
  const stored = names.map(formatReference);
  if (attributes.canonicalName)
    stored.push(...names.map(name => `${formatReference({ domain: name.domain, path: name.path })}@${digest}`));
  const { danglingPrefix } = attributes;
  if (danglingPrefix !== undefined && (names.length === 0 || !attributes.danglingEmptyOnly))
    stored.push(`${danglingPrefix}@${digest}`);
  return stored;
}

function archiveExporter(request: ExportRequest, asked: ImageAttributes, context: ExportContext): Exporter {
  const docker = request.type === 'docker';
  if (!leavesName(asked)) namesOf(asked);
  const { target } = request;
  if (target === undefined && !docker)
    throw new ExporterAttributeError(`dest is required for ${request.type} exporter`);
  if (target === undefined && !context.loadIntoEngine) {
    throw new ExporterAttributeError(
      'there is no Docker engine to load the image into: start one, or write a file with --output=type=docker,dest=FILE',
    );
  }
  return {
    name: docker ? 'exporting to docker image format' : 'exporting to oci image format',
    async export(output, progress, signal) {
      if (docker && (output.multiPlatform || output.platforms.length > 1)) {
        throw new ExporterAttributeError(
          'docker exporter does not support exporting manifest lists, use the oci exporter instead',
        );
      }
      const attributes = withFrontendName(asked, output.imageName);
      const names = namesOf(attributes);
      const image = await writeImage(output, attributes, { ...context, progress }, signal);
      const created = createdAnnotation(image, context.now());
      const options = { names: attributes.names, created, docker };
      const annotations = { ...image.descriptor.annotations, ...created };
      const answers = imageResponse({ ...image, descriptor: { ...image.descriptor, annotations } }, names);
      await progress.step(attributes.tar ? 'sending tarball' : 'copying files', async advance => {
        if (!attributes.tar && target !== undefined) await target.layout(image, context.content, options, signal);
        else {
          const archive = ociArchive(image, context.content, options, signal);
          if (target !== undefined) await target.archive(archive, answers, advance, signal);
          else await context.loadIntoEngine?.(archive, signal);
        }
      });
      return answers;
    },
  };
}

function imageResponse(image: WrittenImage, names: readonly Reference[]): Record<string, string> {
  const descriptor = goJson(orderedDescriptor(image.descriptor));
  return {
    'containerimage.digest': image.descriptor.digest,
    'containerimage.descriptor': Buffer.from(descriptor).toString('base64'),
    ...(image.config === undefined || image.isIndex ? {} : { 'containerimage.config.digest': image.config.digest }),
    ...(names.length === 0 ? {} : { 'image.name': names.map(formatReference).join(',') }),
  };
}

/** `linux_arm_v7`: the directory of one platform among several. */
function platformDirectory(id: string): string {
  return id.replaceAll('/', '_');
}

function splits(request: ExportRequest, output: BuildOutput): boolean {
  return readBoolean(request.attributes, 'platform-split', output.multiPlatform || output.platforms.length > 1);
}

function epochOf(request: ExportRequest, output: BuildOutput): number | undefined {
  const own = readEpoch(request.attributes);
  return own === undefined ? output.epoch : (own ?? undefined);
}

function localExporter(request: ExportRequest, context: ExportContext): Exporter {
  const { target } = request;
  if (target === undefined) throw new ExporterAttributeError('dest is required for local exporter');
  const mode = request.attributes['mode'] ?? 'copy';
  if (mode !== 'copy' && mode !== 'delete')
    throw new ExporterAttributeError(`mode ${mode} is unknown: it is copy or delete`);
  readEpoch(request.attributes);
  return {
    name: 'exporting to client directory',
    async export(output, progress, signal) {
      const epoch = epochOf(request, output);
      await using stack = new AsyncDisposableStack();
      const parts = await fileParts(request, output, context, stack, signal);
      // What is to be removed can only be told when everything that stays is known.
      const split = splits(request, output) && mode === 'copy';
      const platforms = new Set(split ? parts.map(({ name }) => name) : ['']);
      for (const platform of platforms) {
        const tree = mergeTrees(split ? parts.filter(({ name }) => name === platform) : parts);
        await progress.step(split ? `copying files ${platform}` : 'copying files', advance =>
          target.tree(tree, { ...(epoch === undefined ? {} : { epoch }), mirror: mode === 'delete', advance }, signal),
        );
      }
      return {};
    },
  };
}

function tarExporter(request: ExportRequest, context: ExportContext): Exporter {
  const { target = pathTarget('-') } = request;
  readEpoch(request.attributes);
  return {
    name: 'exporting to client tarball',
    async export(output, progress, signal) {
      await using stack = new AsyncDisposableStack();
      const tree = mergeTrees(await fileParts(request, output, context, stack, signal));
      const bytes = treeTar(tree, epochOf(request, output), signal);
      await progress.step('sending tarball', advance => target.archive(bytes, {}, advance, signal));
      return {};
    },
  };
}

/** The files of all platforms, with what is stated about them. */
async function fileParts(
  request: ExportRequest,
  output: BuildOutput,
  context: ExportContext,
  stack: AsyncDisposableStack,
  signal: AbortSignal,
): Promise<TreePart[]> {
  const split = splits(request, output);
  const several = output.multiPlatform || output.platforms.length > 1;
  const epoch = epochOf(request, output);
  const time = epoch === undefined ? Number(context.now() / 1_000_000n) : epoch * 1000;
  const options = { prefix: request.attributes['attestation-prefix'] ?? '', namePlatform: several && !split, time };
  const parts: TreePart[] = [];
  for (const result of output.platforms) {
    const place = { name: result.id, directory: split ? platformDirectory(result.id) : '' };
    const { tree } = stack.use(await context.open(result.ref, signal));
    parts.push({ ...place, tree });
    const statements = await attestationFiles(result, tree, options, signal);
    if (statements !== undefined) parts.push({ ...place, tree: stack.use(statements).tree });
  }
  return parts;
}
