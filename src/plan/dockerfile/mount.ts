import { parseGoBool } from '../../wire/go-bool.ts';
import { CsvError, parseCsvRecord } from './csv.ts';
import { DockerfileError, withLocation } from './error.ts';
import { goQuote } from './go-text.ts';
import type { DeviceFlag, MountFlag, RunInstruction } from './instruction.ts';
import { withSuggestion } from './suggest.ts';

export type MountType = 'bind' | 'cache' | 'tmpfs' | 'secret' | 'ssh';
export type CacheSharing = 'shared' | 'private' | 'locked';

/** A `--mount` of RUN. Texts are empty when not given. */
export interface Mount {
  readonly type: MountType;
  /** A stage or an image. */
  readonly from: string;
  readonly source: string;
  readonly target: string;
  readonly readOnly: boolean;
  /** Bytes, 0 when not given. */
  readonly size: number;
  readonly id: string;
  readonly sharing: CacheSharing | '';
  readonly required: boolean;
  /** The variable that gets a secret; may be the empty text. */
  readonly env: string | undefined;
  readonly mode: number | undefined;
  readonly uid: number | undefined;
  readonly gid: number | undefined;
}

const TYPES: readonly MountType[] = ['bind', 'cache', 'tmpfs', 'secret', 'ssh'];
const SHARINGS: readonly CacheSharing[] = ['shared', 'private', 'locked'];
// The order decides between suggestions that are equally near.
const KEYS =
  'type from source target readonly id sharing required size mode uid gid src dst destination ro rw readwrite env'.split(
    ' ',
  );
const MAX_UINT32 = 0xffff_ffff;

/** Reads what of a `--mount` does not depend on variables. Throws DockerfileError without a location. */
export function parseMountFlag(value: string): MountFlag {
  const fields = readRecord(value, 'mounts');
  let from = '';
  for (const field of fields) {
    const { key, text } = splitField(field);
    if (key !== 'from' || text === undefined) continue;
    const dollar = text.indexOf('$');
    if (dollar >= 0 && dollar !== text.length - 1) {
      throw failure("'from' doesn't support variable expansion, define alias stage instead");
    }
    from = text;
  }
  return { fields, from };
}

/**
 * Reads the options of an instruction's mounts. `expand` gives the value of a word with the variables in force.
 *
 * Throws DockerfileError, at the lines of the instruction.
 */
export function readMounts(run: RunInstruction, expand: (word: string) => string): Mount[] {
  try {
    return run.mounts.map(mount => readMount(mount.fields, expand));
  } catch (error) {
    throw withLocation(error, run.lines);
  }
}

type Draft = { -readonly [Key in keyof Mount]: Mount[Key] };

function readMount(fields: readonly string[], expand: (word: string) => string): Mount {
  const mount: Draft = {
    type: 'bind',
    from: '',
    source: '',
    target: '',
    readOnly: false,
    size: 0,
    id: '',
    sharing: '',
    required: false,
    env: undefined,
    mode: undefined,
    uid: undefined,
    gid: undefined,
  };
  let readOnly: boolean | undefined;
  for (const field of fields) {
    const { key, text } = splitField(field);
    if (text === undefined) {
      if (key === 'readonly' || key === 'ro') readOnly = true;
      else if (key === 'readwrite' || key === 'rw') readOnly = false;
      else if (key === 'required') mount.required = allowRequired(mount.type, key);
      else throw failure(`invalid field '${field}' must be a key=value pair`);
      continue;
    }
    const value = expand(text);
    if (key === 'readonly' || key === 'ro') readOnly = bool(key, value);
    else if (key === 'readwrite' || key === 'rw') readOnly = !bool(key, value);
    else if (key === 'required') mount.required = allowRequired(mount.type, key) && bool(key, value);
    else setOption(mount, key, value, field);
  }
  check(mount);
  mount.readOnly = readOnly ?? (mount.type !== 'cache' && mount.type !== 'tmpfs');
  return mount;
}

function setOption(mount: Draft, key: string, value: string, field: string): void {
  switch (key) {
    case 'type':
      mount.type = oneOf(TYPES, value, 'mount type');
      break;
    case 'sharing':
      mount.sharing = oneOf(SHARINGS, value, 'sharing value');
      break;
    case 'from':
    case 'source':
    case 'target':
    case 'id':
    case 'env':
      mount[key] = value;
      break;
    case 'src':
      mount.source = value;
      break;
    case 'dst':
    case 'destination':
      mount.target = value;
      break;
    case 'size':
      if (mount.type !== 'tmpfs') throw failure(`unexpected key '${key}' for mount type '${mount.type}'`);
      mount.size = parseSize(value) ?? refuse(`invalid value for ${key}: ${value}`);
      break;
    case 'mode':
      mount.mode = parseUint32(value, 8) ?? refuse(`invalid value ${value} for mode`);
      break;
    case 'uid':
    case 'gid':
      mount[key] = parseUint32(value, 10) ?? refuse(`invalid value ${value} for ${key}`);
      break;
    default:
      throw failure(withSuggestion(`unexpected key '${key}' in '${field}'`, key, KEYS));
  }
}

function check(mount: Mount): void {
  if (mount.type === 'bind' || mount.type === 'tmpfs') {
    for (const key of ['mode', 'uid', 'gid'] as const) {
      if (mount[key] !== undefined) throw failure(`${key} not allowed for "${mount.type}" type mounts`);
    }
  }
  if (mount.type === 'secret') {
    if (mount.from !== '') throw failure('secret mount should not have a from');
    if (mount.sharing !== '') throw failure('secret mount should not define sharing');
    if (mount.source === '' && mount.target === '' && mount.id === '') {
      throw failure('invalid secret mount. one of source, target required');
    }
    if (mount.source !== '' && mount.id !== '') throw failure("both source and id can't be set");
  }
  if (mount.sharing !== '' && mount.type !== 'cache') {
    throw failure(`invalid cache sharing set for ${mount.type} mount`);
  }
}

/** Reads a `--device` of RUN. Throws DockerfileError without a location. */
export function parseDeviceFlag(value: string): DeviceFlag {
  let name = '';
  let required = false;
  for (const field of readRecord(value, 'devices')) {
    const { key, text } = splitField(field);
    if (key === 'required') {
      required = text === undefined || bool(key, text);
    } else if (key === 'name' && text !== undefined) {
      if (name !== '') throw failure(`device name already set to ${name}`);
      name = text;
    } else if (name === '') {
      name = field;
    } else if (text === undefined) {
      throw failure(`invalid field '${field}' must be a key=value pair`);
    } else {
      throw failure(withSuggestion(`unexpected key '${key}' in '${field}'`, key, ['name', 'required']));
    }
  }
  return { name, required };
}

function readRecord(value: string, what: 'mounts' | 'devices'): string[] {
  try {
    return parseCsvRecord(value);
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    throw failure(`failed to parse csv ${what}: ${error.message}`, error);
  }
}

/** Key in lower case, and what follows `=`. */
function splitField(field: string): { key: string; text: string | undefined } {
  const equals = field.indexOf('=');
  if (equals < 0) return { key: field.toLowerCase(), text: undefined };
  return { key: field.slice(0, equals).toLowerCase(), text: field.slice(equals + 1) };
}

function allowRequired(type: MountType, key: string): true {
  if (type !== 'secret' && type !== 'ssh') throw failure(`unexpected key '${key}' for mount type '${type}'`);
  return true;
}

function oneOf<Name extends string>(names: readonly Name[], value: string, what: string): Name {
  const found = names.find(name => name === value.toLowerCase());
  return found ?? refuse(withSuggestion(`unsupported ${what} ${goQuote(value)}`, value, names));
}

function bool(key: string, value: string): boolean {
  return parseGoBool(value) ?? refuse(`invalid value for ${key}: ${value}`);
}

function parseUint32(value: string, base: 8 | 10): number | undefined {
  if (!(base === 8 ? /^[0-7]+$/ : /^\d+$/).test(value)) return undefined;
  const number = Number.parseInt(value, base);
  return number <= MAX_UINT32 ? number : undefined;
}

/** Bytes of a size like `64m` or `1.5 GiB` (github.com/docker/go-units, RAMInBytes: powers of 1024 in any case). */
function parseSize(value: string): number | undefined {
  const match = /^\+?(\d+\.?\d*(?:e[+-]?\d+)?|\.\d+(?:e[+-]?\d+)?) ?(?:b|([kmgtp])(?:b|ib)?)?$/i.exec(value);
  if (match === null) return undefined;
  const power = match[2] === undefined ? 0 : 'kmgtp'.indexOf(match[2].toLowerCase()) + 1;
  return Math.trunc(Number(match[1]) * 1024 ** power);
}

function failure(message: string, cause?: unknown): DockerfileError {
  return new DockerfileError(message, [], { cause });
}

function refuse(message: string): never {
  throw failure(message);
}
