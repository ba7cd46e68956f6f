import { create, fromBinary } from '@bufbuild/protobuf';
import { type Digest, digestOf } from '../../wire/oci/digest.ts';
import { goJson } from '../../wire/oci/go-json.ts';
import {
  BuildOpSchema,
  type Definition,
  DiffOpSchema,
  ExecOpSchema,
  type FileAction,
  FileActionCopySchema,
  FileActionMkDirSchema,
  FileActionMkFileSchema,
  FileActionRmSchema,
  LocationsSchema,
  MergeOpSchema,
  type Op,
  OpSchema,
  PassthroughOpSchema,
  PlatformSchema,
  SourceOpSchema,
  WorkerConstraintsSchema,
} from '../../wire/proto/gen/pb/ops_pb.ts';
import { messageJson } from '../ops/message-json.ts';
import { jsonList, jsonMap, jsonObject, jsonText } from './json-text.ts';

/** The steps of a definition as provenance lists them. */
export interface ProvenanceSteps {
  /** The place of each op, the terminal included. */
  readonly places: ReadonlyMap<Digest, number>;
  /** Members of a build config as JSON texts; undefined for the empty definition of scratch. */
  readonly llbDefinition: string | undefined;
  readonly digestMapping: string | undefined;
}

/** Attributes that mean something only while the client is connected. */
const SESSION_ATTRIBUTES = new Set(['local.session', 'local.unique']);

/** Numbers and describes the ops of a definition, inputs before their users, the terminal last. */
export function provenanceSteps(definition: Definition | undefined): ProvenanceSteps {
  const ops = new Map<Digest, Op>();
  let last: Digest | undefined;
  for (const bytes of definition?.def ?? []) {
    last = digestOf(bytes);
    ops.set(last, fromBinary(OpSchema, bytes));
  }
  const places = new Map<Digest, number>();
  if (last === undefined) return { places, llbDefinition: undefined, digestMapping: undefined };
  for (const digest of inOrder(last, ops)) places.set(digest, places.size);
  const steps = [...places].map(([digest, place]) => stepJson(place, ops.get(digest), places));
  return {
    places,
    llbDefinition: jsonList(steps),
    digestMapping: jsonMap([...places].map(([digest, place]) => [digest, goJson(`step${place}`)])),
  };
}

/** The source of a definition: which lines each step came from, and the files. Undefined when it names none. */
export function sourceMapJson(definition: Definition, { places }: ProvenanceSteps): string | undefined {
  const { Source: source } = definition;
  if (source === undefined || source.infos.length === 0) return undefined;
  const locations: [string, string][] = [];
  for (const [digest, value] of Object.entries(source.locations)) {
    const place = placeOf(digest, places);
    if (place !== undefined) locations.push([`step${place}`, messageJson(LocationsSchema, value)]);
  }
  const infos = source.infos.map(info => {
    const { llbDefinition, digestMapping } = provenanceSteps(info.definition);
    const data = info.data.length === 0 ? undefined : goJson(Buffer.from(info.data).toString('base64'));
    const { filename, language } = info;
    return jsonObject({
      filename: jsonText(filename),
      language: jsonText(language),
      data,
      llbDefinition,
      digestMapping,
    });
  });
  return jsonObject({ locations: jsonMap(locations), infos: jsonList(infos) });
}

function stepJson(place: number, op: Op | undefined, places: ReadonlyMap<Digest, number>): string {
  const inputs = op?.inputs.map(({ digest, index }) => goJson(`step${placeOf(digest, places) ?? 0}:${index}`));
  return jsonObject({
    id: goJson(`step${place}`),
    op: op && opJson(op),
    inputs: jsonList(inputs ?? []),
  });
}

function placeOf(digest: string, places: ReadonlyMap<string, number>): number | undefined {
  return places.get(digest);
}

/** An op as Go writes it, without its inputs. */
function opJson({ op, platform, constraints }: Op): string {
  return jsonObject({
    Op: kindJson(op),
    platform: platform && messageJson(PlatformSchema, platform),
    constraints: constraints && messageJson(WorkerConstraintsSchema, constraints),
  });
}

function kindJson(op: Op['op']): string {
  switch (op.case) {
    case undefined:
      return '{}';
    case 'exec':
      return jsonObject({ exec: messageJson(ExecOpSchema, op.value) });
    case 'source': {
      const attrs = Object.fromEntries(
        Object.entries(op.value.attrs).filter(([name]) => !SESSION_ATTRIBUTES.has(name)),
      );
      return jsonObject({
        source: messageJson(SourceOpSchema, create(SourceOpSchema, { identifier: op.value.identifier, attrs })),
      });
    }
    case 'file':
      return jsonObject({ file: jsonObject({ actions: jsonList(op.value.actions.map(actionJson)) }) });
    case 'build':
      return jsonObject({ build: messageJson(BuildOpSchema, op.value) });
    case 'merge':
      return jsonObject({ merge: messageJson(MergeOpSchema, op.value) });
    case 'diff':
      return jsonObject({ diff: messageJson(DiffOpSchema, op.value) });
    case 'passthrough':
      return jsonObject({ passthrough: messageJson(PassthroughOpSchema, op.value) });
  }
}

/** File actions marshal themselves in Go: the indexes are always there, the choice stands in an object `Action`. */
function actionJson({ input, secondaryInput, output, action }: FileAction): string {
  return jsonObject({
    input: String(input),
    secondaryInput: String(secondaryInput),
    output: String(output),
    Action: actionKindJson(action),
  });
}

function actionKindJson(action: FileAction['action']): string {
  switch (action.case) {
    case 'copy':
      return jsonObject({ copy: messageJson(FileActionCopySchema, action.value) });
    case 'mkfile':
      return jsonObject({ mkfile: messageJson(FileActionMkFileSchema, action.value) });
    case 'mkdir':
      return jsonObject({ mkdir: messageJson(FileActionMkDirSchema, action.value) });
    case 'rm':
      return jsonObject({ rm: messageJson(FileActionRmSchema, action.value) });
    default:
      return '{}';
  }
}

/** Inputs before users, in the order of inputs; each op once. Graphs may be deeper than the call stack. */
function* inOrder(last: Digest, ops: ReadonlyMap<string, Op>): Generator<Digest> {
  const begun = new Set<string>([last]);
  const stack: { readonly digest: Digest; next: number }[] = [{ digest: last, next: 0 }];
  for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
    const below = ops.get(top.digest)?.inputs[top.next++]?.digest;
    if (below === undefined) {
      stack.pop();
      yield top.digest;
    } else if (!begun.has(below)) {
      begun.add(below);
      stack.push({ digest: below as Digest, next: 0 });
    }
  }
}
