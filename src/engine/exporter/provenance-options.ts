import { parseCsvRecord } from '../../plan/dockerfile/csv.ts';

/** A `--provenance` that cannot be obeyed. */
export class ProvenanceOptionError extends Error {
  override readonly name = 'ProvenanceOptionError';
}

/** How much is told: `min` leaves out build arguments, labels, secrets, the steps and their layers. */
type ProvenanceMode = 'min' | 'max';

/** The version of the SLSA predicate. */
export type ProvenanceVersion = 'v1' | 'v0.2';

/** The attributes of a provenance attestation. */
export interface ProvenanceOptions {
  readonly mode: ProvenanceMode;
  readonly version: ProvenanceVersion;
  /** Names who built; empty by default. */
  readonly builderId: string;
  /** Whether the client says that the build is reproducible. */
  readonly reproducible: boolean;
  /** Attached only where the exporter attaches such attestations. */
  readonly inlineOnly: boolean;
  /** Name of its file in directory outputs. */
  readonly filename: string;
  /** Whether the build must fail when materials cannot all be told. */
  readonly completeMaterials: boolean;
}

/** What buildx asks for when nothing is said. */
export const DEFAULT_PROVENANCE = 'mode=min,inline-only=true';

const KEYS = [
  'mode',
  'version',
  'builder-id',
  'reproducible',
  'inline-only',
  'filename',
  'complete-materials',
  'capture-usage',
  'disabled',
  'type',
];

/**
 * Reads the attributes of `--provenance` or `--attest type=provenance`: CSV of `key=value`, or a boolean alone.
 * @returns undefined when it is turned off.
 * @throws ProvenanceOptionError
 */
export function parseProvenanceOptions(csv: string): ProvenanceOptions | undefined {
  const attributes = new Map<string, string>();
  for (const field of fieldsOf(csv)) {
    const equals = field.indexOf('=');
    if (equals >= 0) attributes.set(field.slice(0, equals).trim().toLowerCase(), field.slice(equals + 1));
    else if (field === 'min' || field === 'max') fail(`expected key=value, found ${field}: use mode=${field}`);
    else if (field !== '') attributes.set('disabled', String(!readBool('provenance', field)));
  }
  for (const key of attributes.keys()) {
    if (!KEYS.includes(key)) fail(`unknown attribute ${key}; it takes ${KEYS.slice(0, 7).join(', ')}`);
  }
  const type = attributes.get('type') ?? 'provenance';
  if (type !== 'provenance') fail(`type ${type} is not provenance`);
  const flag = (key: string) => {
    const text = attributes.get(key);
    return text !== undefined && readBool(key, text);
  };
  if (flag('disabled')) return undefined;
  return {
    mode: readMode(attributes.get('mode') ?? 'max'),
    version: readVersion(attributes.get('version') ?? 'v1'),
    builderId: attributes.get('builder-id') ?? '',
    reproducible: flag('reproducible'),
    inlineOnly: flag('inline-only'),
    filename: attributes.get('filename') ?? 'provenance.json',
    completeMaterials: flag('complete-materials'),
  };
}

function fieldsOf(csv: string): readonly string[] {
  if (csv === '') return [];
  try {
    return parseCsvRecord(csv);
  } catch (cause) {
    throw new ProvenanceOptionError(`provenance ${JSON.stringify(csv)}: not a line of comma-separated values`, {
      cause,
    });
  }
}

function readMode(text: string): ProvenanceMode {
  if (text === 'full') return 'max';
  if (text === 'min' || text === 'max') return text;
  return fail(`invalid mode ${JSON.stringify(text)}: it is min or max`);
}

function readVersion(text: string): ProvenanceVersion {
  if (text === 'v1' || text === 'v0.2') return text;
  return fail(`invalid provenance SLSA version: ${text} (use v1 or v0.2)`);
}

function readBool(key: string, text: string): boolean {
  if (/^(?:1|t|T|TRUE|true|True)$/.test(text)) return true;
  if (/^(?:0|f|F|FALSE|false|False)$/.test(text)) return false;
  return fail(`failed to parse ${key} flag ${JSON.stringify(text)}: use true or false`);
}

function fail(message: string): never {
  throw new ProvenanceOptionError(`provenance: ${message}`);
}
