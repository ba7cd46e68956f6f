/** The content key of an input: the files of it that a step uses. */
import { type ChecksumEntry, scratchChecksum } from '../../store/snapshot/checksum.ts';
import type { FileTree } from '../../store/snapshot/file-tree.ts';
import { fromBytePath } from '../../wire/fsutil/byte-path.ts';
import { type Digest, digestOf } from '../../wire/oci/digest.ts';
import type { ContentKey } from '../solver/op.ts';
import type { KeyPart } from '../status/event.ts';
import { plainSelector, type Selector } from './content-selector.ts';
import type { SnapshotStore } from './op-context.ts';
import type { Ref } from './ref.ts';
import { contentsOf } from './ref-contents.ts';

interface Checksum {
  readonly digest: Digest;
  readonly entries: () => readonly ChecksumEntry[];
  readonly tree?: FileTree;
}

/** An input of a step, by its place among the inputs. */
interface StepInput {
  readonly ref: Ref;
  readonly index: number;
}

/** A path that a step needs has no checksum. `cause` says why. */
export class InputChecksumError extends Error {
  override readonly name = 'InputChecksumError';
  readonly input: StepInput;

  constructor(input: StepInput, cause: unknown) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    super(`failed to calculate checksum of ref ${nameOf(input.ref)}: ${reason}`, { cause });
    this.input = input;
  }
}

/**
 * The digest of what a step uses of an input: the checksums of the selected paths as text, joined by NULs. No selectors mean
 * the whole of it. The parts are its files, by path. Throws {@link InputChecksumError}, and what reading throws.
 */
export async function contentKey(
  input: StepInput,
  selectors: readonly Selector[],
  layers: SnapshotStore,
  signal: AbortSignal,
): Promise<ContentKey> {
  const selected = selectors.length === 0 ? [plainSelector('/', false)] : selectors;
  const checksums = await Promise.all(
    selected.map(async selector => {
      try {
        return await checksum(input.ref, selector, layers, signal);
      } catch (cause) {
        signal.throwIfAborted();
        throw new InputChecksumError(input, cause);
      }
    }),
  );
  let parts: readonly KeyPart[] | undefined;
  return {
    digest: digestOf(checksums.map(({ digest }) => digest).join('\0')),
    // Tens of thousands of files are only named when somebody wants to know.
    get parts() {
      parts ??= checksums.flatMap(partsOf);
      return parts;
    },
  };
}

async function checksum(ref: Ref, selector: Selector, layers: SnapshotStore, signal: AbortSignal): Promise<Checksum> {
  const { path, wildcard, include, exclude } = selector;
  if (ref.kind === 'snapshot' && ref.layers.length === 0) {
    const isList = wildcard || include.length > 0 || exclude.length > 0;
    return { digest: isList ? digestOf('') : scratchChecksum(path), entries: () => [] };
  }
  const contents = await contentsOf(ref, layers, signal);
  const { digest, entries } = await contents.examine(path, selector, signal);
  return { digest, entries, tree: contents.tree };
}

function partsOf({ entries, tree }: Checksum): KeyPart[] {
  const parts: KeyPart[] = [];
  for (const { path, node, digest } of entries()) {
    const { type, mode, uid, gid } = node;
    const owner = uid === 0 && gid === 0 ? '' : ` ${uid}:${gid}`;
    const attributes = `${mode.toString(8).padStart(4, '0')}${owner}`;
    const value =
      type === 'symlink' && tree ? `${attributes} -> ${fromBytePath(tree.readlink(node))}` : `${attributes} ${digest}`;
    parts.push({ kind: type === 'dir' ? 'directory' : type, name: fromBytePath(path), value });
  }
  return parts;
}

function nameOf(ref: Ref): string {
  return ref.kind === 'local' ? ref.name : (ref.layers.at(-1) ?? 'scratch');
}
