import { readFile } from 'node:fs/promises';
import { type FileNode, type FileTree, resolvePath } from '../../store/snapshot/file-tree.ts';
import { fromBytePath, systemPath, toBytePath } from '../../wire/fsutil/byte-path.ts';
import { sortedJson } from './json-text.ts';
import type { Attestation } from './result.ts';

/** Files that are no statements, or such as must not be there. */
class AttestationError extends Error {
  override readonly name = 'AttestationError';
}

/** The predicate of a bill of materials. */
export const SPDX_PREDICATE = 'https://spdx.dev/Document';

/** Longer ones are attacks on memory. */
const LONGEST = 64 * 1024 * 1024;

/** A statement of a bundle, as far as it is used. */
interface Statement {
  readonly predicateType?: string;
  readonly predicate?: unknown;
  readonly subject?: readonly { readonly name?: string; readonly digest?: Readonly<Record<string, string>> }[] | null;
}

/** How the statements of a directory are taken. */
export interface BundleOptions {
  readonly path: string;
  /** What all of them must be; empty for anything. */
  readonly predicateType: string;
  readonly inlineOnly: boolean;
  /** The name, up to the first point, of the statement about the result itself. */
  readonly core?: string | undefined;
}

/**
 * The statements that a directory holds, that about the result itself first.
 * @throws AttestationError for files that are none
 */
export async function bundledStatements(
  tree: FileTree,
  { path, predicateType: wanted, inlineOnly, core }: BundleOptions,
  signal: AbortSignal,
): Promise<Attestation[]> {
  const { node } = resolvePath(tree, toBytePath(path), true);
  if (node?.type !== 'dir') throw new AttestationError(`open ${path}: no such directory`);
  const statements: Attestation[] = [];
  for (const child of tree.children(node)) {
    const name = fromBytePath(child.name);
    const { predicateType = '', predicate, subject } = await readStatement(tree, `${path}/${name}`, signal);
    if (wanted !== '' && predicateType !== wanted)
      throw new AttestationError(`bundle entry ${predicateType} does not match required predicate type ${wanted}`);
    if (predicateType.startsWith('https://slsa.dev/provenance/'))
      throw new AttestationError('frontend may not bundle provenance attestations');
    // As Go writes what it read into maps.
    const json = sortedJson(predicate ?? null);
    statements.push({
      predicateType,
      inlineOnly,
      filename: name,
      isCore: isCore(name, core),
      subjects: (subject ?? []).map(({ name: of, digest }) => ({
        kind: 'raw',
        name: of || '_',
        digest: digest ?? {},
      })),
      predicate: async () => json,
    });
  }
  return statements.sort((a, b) => Number(b.isCore ?? false) - Number(a.isCore ?? false));
}

/** Whether a file holds the statement about the result itself. @param core its name up to the first point */
export function isCore(filename: string, core: string | undefined): boolean {
  return core !== undefined && filename.split('.')[0] === core;
}

/** The text of a file. @throws AttestationError when there is none */
export async function readPredicate(tree: FileTree, path: string, signal: AbortSignal): Promise<string> {
  const node: FileNode | undefined = resolvePath(tree, toBytePath(path), true).node;
  if (node === undefined)
    throw new AttestationError(`cannot read in-toto attestation: ${path}: no such file or directory`);
  if (node.type !== 'file')
    throw new AttestationError(`cannot read in-toto attestation: ${path} is not a regular file`);
  if (node.size > LONGEST) throw new AttestationError(`${path} exceeds ${LONGEST} bytes`);
  return readFile(systemPath(tree.location(node)), { encoding: 'utf8', signal });
}

async function readStatement(tree: FileTree, path: string, signal: AbortSignal): Promise<Statement> {
  try {
    const value: unknown = JSON.parse(await readPredicate(tree, path, signal));
    if (typeof value === 'object' && value !== null) return value;
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
  }
  throw new AttestationError(`cannot decode in-toto statement: ${path}`);
}
