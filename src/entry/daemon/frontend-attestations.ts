/** What frontends assert of their results. */
import { readFile } from 'node:fs/promises';
import type { Attestation, AttestationSubject } from '../../engine/exporter/result.ts';
import { type FileNode, type FileTree, resolvePath } from '../../store/snapshot/file-tree.ts';
import { systemPath, toBytePath } from '../../wire/fsutil/byte-path.ts';
import { Code } from '../../wire/grpc/code.ts';
import { StatusError } from '../../wire/grpc/status.ts';
import { goJson } from '../../wire/oci/go-json.ts';
import { AttestationKind, type InTotoSubject, InTotoSubjectKind } from '../../wire/proto/gen/control/gateway_pb.ts';
import type { ClientBuild } from './client-build.ts';
import type { ResultAttestation } from './frontend-result.ts';
import { readTreeDirectory } from './gateway/read-files.ts';

/** Longer ones are attacks on memory. */
const LONGEST = 64 * 1024 * 1024;

/** A statement of a bundle, as far as it is used. */
interface Statement {
  readonly predicateType?: string;
  readonly predicate?: unknown;
  readonly subject?: readonly { readonly name?: string; readonly digest?: Readonly<Record<string, string>> }[] | null;
}

/**
 * The statements of a frontend: one that it describes, with a file of a result as its predicate, or all those that a
 * directory of a result holds.
 * @throws StatusError for files that are none, or no statements
 */
export async function frontendAttestations(
  build: ClientBuild,
  { message, ref }: ResultAttestation,
  signal: AbortSignal,
): Promise<Attestation[]> {
  if (ref === undefined) return [];
  const text = (key: string) => new TextDecoder().decode(message.metadata[key] ?? new Uint8Array());
  const inlineOnly = text('inline-only') === 'true';
  if (message.kind === AttestationKind.InToto) {
    return [
      {
        predicateType: message.inTotoPredicateType,
        inlineOnly,
        filename: message.path.split('/').at(-1) ?? 'attestation.json',
        subjects: message.inTotoSubjects.map(subjectOf),
        predicate: async inner => (await readText(await build.files(ref, inner), message.path, inner)) || 'null',
      },
    ];
  }
  const tree = await build.files(ref, signal);
  const wanted = message.inTotoPredicateType;
  const statements: Attestation[] = [];
  for (const { path: name = '' } of readTreeDirectory(tree, message.path, '')) {
    const { predicateType = '', predicate, subject } = await readStatement(tree, `${message.path}/${name}`, signal);
    if (wanted !== '' && predicateType !== wanted)
      throw refuse(`bundle entry ${predicateType} does not match required predicate type ${wanted}`);
    if (predicateType.startsWith('https://slsa.dev/provenance/'))
      throw refuse('frontend may not bundle provenance attestations');
    const json = goJson(sorted(predicate ?? null));
    statements.push({
      predicateType,
      inlineOnly,
      filename: name,
      subjects: (subject ?? []).map(({ name: of, digest }) => ({
        kind: 'raw',
        name: of || '_',
        digest: digest ?? {},
      })),
      predicate: async () => json,
    });
  }
  return statements;
}

function subjectOf({ kind, name, digest }: InTotoSubject): AttestationSubject {
  if (kind === InTotoSubjectKind.Self) return { kind: 'self', name };
  const pairs = digest.map((one): [string, string] => {
    const [algorithm = '', hex = ''] = one.split(':');
    return [algorithm, hex];
  });
  return { kind: 'raw', name: name || '_', digest: Object.fromEntries(pairs) };
}

async function readStatement(tree: FileTree, path: string, signal: AbortSignal): Promise<Statement> {
  try {
    const value: unknown = JSON.parse(await readText(tree, path, signal));
    if (typeof value === 'object' && value !== null) return value;
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
  }
  throw refuse(`cannot decode in-toto statement: ${path}`);
}

async function readText(tree: FileTree, path: string, signal: AbortSignal): Promise<string> {
  const node: FileNode | undefined = resolvePath(tree, toBytePath(path), true).node;
  if (node === undefined) throw refuse(`cannot read in-toto attestation: ${path}: no such file or directory`);
  if (node.type !== 'file') throw refuse(`cannot read in-toto attestation: ${path} is not a regular file`);
  if (node.size > LONGEST) throw refuse(`${path} exceeds ${LONGEST} bytes`);
  return readFile(systemPath(tree.location(node)), { encoding: 'utf8', signal });
}

/** As Go writes what it read into maps: members by name. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(members.map(([name, member]) => [name, sorted(member)]));
}

function refuse(text: string): StatusError {
  return new StatusError(Code.unknown, text);
}
