import { stat } from 'node:fs/promises';
import type { OutputRequest } from '../builder/request.ts';
import { csvFields, csvMap } from './csv.ts';
import { didYouMean, UsageError } from './errors.ts';

const TYPES = ['image', 'registry', 'oci', 'docker', 'local', 'tar', 'cacheonly'] as const;

/** What else on the command line shapes the outputs. */
export interface OutputFlags {
  readonly push: boolean;
  readonly load: boolean;
  readonly tags: readonly string[];
  readonly annotations: readonly string[];
}

/**
 * The outputs that `--output`, `--push` and `--load` ask for together, in order; with none of them and a tag, or nothing at
 * all, an image in the local store. `type=cacheonly` is none: what was built stays in the cache.
 * @throws UsageError for an unknown type, a missing or unfit `dest`, or two outputs on standard output.
 */
export async function parseOutputs(values: readonly string[], flags: OutputFlags): Promise<OutputRequest[]> {
  let outputs = values.flatMap(parseOutput);
  if (flags.push) {
    const pushed = { push: 'true' };
    if (outputs.every(({ type }) => type !== 'image')) outputs.push({ type: 'image', attributes: { unpack: 'false' } });
    outputs = outputs.map(output =>
      output.type === 'image' ? { ...output, attributes: { ...output.attributes, ...pushed } } : output,
    );
  }
  const isLoaded = outputs.some(({ type, dest }) => type === 'docker' && dest === undefined);
  if (flags.load && !isLoaded) outputs.push({ type: 'docker', attributes: {} });
  if (outputs.length === 0 && values.length === 0) outputs.push({ type: 'image', attributes: {} });
  if (outputs.filter(output => output.dest === '-').length > 1) {
    throw new UsageError('multiple outputs configured to write to stdout');
  }
  const named = outputs.map(output => withNames(output, flags));
  for (const output of named) await checkDest(output);
  return named;
}

function parseOutput(value: string): OutputRequest | [] {
  const fields = csvFields(value);
  const only = fields[0] ?? '';
  if (fields.length === 1 && !only.startsWith('type=')) {
    return only === '-' ? { type: 'tar', attributes: {}, dest: '-' } : { type: 'local', attributes: {}, dest: only };
  }
  const map = csvMap(value, '--output');
  const type = map.get('type');
  if (type === undefined) throw new UsageError(`--output ${value}: type is required: one of ${TYPES.join(', ')}`);
  const known = TYPES.find(candidate => candidate === type);
  if (!known) {
    throw new UsageError(
      `--output ${value}: unknown type ${type}${didYouMean(type, TYPES)}; one of ${TYPES.join(', ')}`,
    );
  }
  if (known === 'cacheonly') return [];
  const dest = map.get('dest');
  map.delete('type');
  map.delete('dest');
  const attributes = Object.fromEntries(map);
  if (known === 'registry') return { type: 'image', attributes: { unpack: 'false', ...attributes, push: 'true' } };
  if (known === 'oci' || known === 'tar') return { type: known, attributes, dest: dest ?? '-' };
  return dest === undefined ? { type: known, attributes } : { type: known, attributes, dest };
}

function withNames(output: OutputRequest, flags: OutputFlags): OutputRequest {
  if (output.type === 'local' || output.type === 'tar') return output;
  const attributes: Record<string, string> = { ...output.attributes };
  if (flags.tags.length > 0) attributes['name'] = flags.tags.join(',');
  for (const [key, value] of flags.annotations.flatMap(annotationAttributes)) attributes[key] ??= value;
  return { ...output, attributes };
}

const ANNOTATION_TYPES = ['manifest', 'index', 'manifest-descriptor', 'index-descriptor'];

/** `[TYPE[PLATFORM],…:]KEY=VALUE` as exporter attributes (buildx's `--annotation`). */
function annotationAttributes(annotation: string): [string, string][] {
  const match = /^(?:([^:=]*):)?([^=]+)=(.*)$/s.exec(annotation);
  if (!match) throw new UsageError(`--annotation ${annotation}: expected [TYPE[PLATFORM],…:]KEY=VALUE`);
  const [, types, key, value] = match;
  if (types === undefined) return [[`annotation.${key}`, value ?? '']];
  return types.split(',').map(type => {
    const name = /^([a-z-]+)(?:\[[\w/-]+\])?$/.exec(type)?.[1] ?? type;
    if (ANNOTATION_TYPES.includes(name)) return [`annotation-${type}.${key}`, value ?? ''];
    const known = `${didYouMean(name, ANNOTATION_TYPES)}; one of ${ANNOTATION_TYPES.join(', ')}, with a [PLATFORM] or without`;
    throw new UsageError(`--annotation ${annotation}: unknown type ${type}${known}`);
  });
}

async function checkDest(output: OutputRequest): Promise<void> {
  const { type, dest } = output;
  const directory = type === 'local' || ((type === 'oci' || type === 'docker') && isFalse(output.attributes['tar']));
  if (type === 'image') {
    if (dest !== undefined) throw new UsageError(`--output type=image takes no dest; use type=oci,dest=${dest}`);
    return;
  }
  if (directory) {
    if (dest === undefined) throw new UsageError(`dest is required for ${type} exporter`);
    if (dest === '-') throw new UsageError(`dest cannot be stdout for ${type} exporter`);
    const found = await statOf(dest);
    if (found && !found.isDirectory()) throw new UsageError(`destination directory ${dest} is a file`);
    return;
  }
  if (dest === '-' && process.stdout.isTTY) {
    throw new UsageError(`dest file is required for ${type} exporter. refusing to write to console`);
  }
  if (dest !== undefined && dest !== '-' && (await statOf(dest))?.isDirectory()) {
    throw new UsageError(`destination file ${dest} is a directory`);
  }
}

async function statOf(path: string) {
  return stat(path).catch(() => undefined);
}

function isFalse(value: string | undefined): boolean {
  return value !== undefined && ['0', 'f', 'false'].includes(value.toLowerCase());
}
