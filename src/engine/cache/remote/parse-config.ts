/** Reads the JSON text of a cache config; what does not hold together is found later, by `readRecords`. */
import {
  type CacheConfig,
  CacheConfigError,
  type ConfigInput,
  type ConfigLayer,
  type ConfigRecord,
  type LayerAnnotations,
} from '../cache-config.ts';

/** The time that Go writes where there is none. */
const zeroTime = '0001-01-01T00:00:00Z';

/**
 * Reads a cache config. Unknown members are ignored, members of `null` are missing.
 *
 * @throws CacheConfigError with the text of Go's JSON decoder, as far as it is known.
 */
export function parseCacheConfig(text: string): CacheConfig {
  const json = parseJson(text);
  if (json === null) return {};
  const config = object(json, 'value of type cacheimporttypes.CacheConfig');
  return {
    layers: list(config['layers'], 'CacheConfig.layers').map(layer => readLayer(object(layer, 'struct field layers'))),
    records: parseRecords(config['records']),
  };
}

/**
 * The records of an inline cache, which stand alone.
 *
 * @throws CacheConfigError
 */
export function parseInlineRecords(text: string): readonly ConfigRecord[] {
  return parseRecords(parseJson(text));
}

function parseRecords(json: unknown): readonly ConfigRecord[] {
  return list(json, 'CacheConfig.records').map(record => readRecord(object(record, 'struct field records')));
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : '';
    const position = Number(/position (\d+)/.exec(message)?.[1] ?? text.length);
    const isCut = position >= text.trimEnd().length || /end of JSON|Unterminated/.test(message);
    if (isCut) throw new CacheConfigError('unexpected end of JSON input', { cause });
    throw new CacheConfigError(`invalid character ${JSON.stringify(text[position])} at byte ${position}`, { cause });
  }
}

type Json = Readonly<Record<string, unknown>>;

function mismatch(value: unknown, wanted: string): CacheConfigError {
  const type = Array.isArray(value) ? 'array' : typeof value === 'boolean' ? 'bool' : typeof value;
  return new CacheConfigError(`json: cannot unmarshal ${type} into Go ${wanted}`);
}

function object(value: unknown, wanted: string): Json {
  if (value === null) return {};
  if (!isObject(value)) throw mismatch(value, wanted);
  return value;
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && !Array.isArray(value);
}

function list(value: unknown, field: string): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw mismatch(value, `struct field ${field}`);
  return value;
}

function text(value: unknown, field: string): string {
  if (value === undefined || value === null) return '';
  if (typeof value !== 'string') throw mismatch(value, `struct field ${field} of type string`);
  return value;
}

function integer(value: unknown, field: string): number {
  if (value === undefined || value === null) return 0;
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) {
    throw mismatch(value, `struct field ${field} of type int`);
  }
  return value;
}

function time(value: unknown): string {
  if (value === undefined || value === null) return zeroTime;
  if (typeof value !== 'string') throw new CacheConfigError('Time.UnmarshalJSON: input is not a JSON string');
  return value;
}

function readLayer(layer: Json): ConfigLayer {
  const annotations = readAnnotations(layer['annotations']);
  return {
    blob: text(layer['blob'], 'CacheLayer.layers.blob'),
    parent: integer(layer['parent'], 'CacheLayer.layers.parent'),
    ...(annotations === undefined ? {} : { annotations }),
  };
}

function readAnnotations(value: unknown): LayerAnnotations | undefined {
  if (value === undefined || value === null) return undefined;
  const annotations = object(value, 'struct field CacheLayer.layers.annotations');
  return {
    mediaType: text(annotations['mediaType'], 'LayerAnnotations.mediaType'),
    diffID: text(annotations['diffID'], 'LayerAnnotations.diffID'),
    size: integer(annotations['size'], 'LayerAnnotations.size'),
    createdAt: time(annotations['createdAt']),
  };
}

function readRecord(record: Json): ConfigRecord {
  return {
    layers: list(record['layers'], 'CacheRecord.records.layers').map(entry => {
      const result = object(entry, 'struct field CacheRecord.records.layers');
      return { layer: integer(result['layer'], 'CacheResult.layer'), createdAt: time(result['createdAt']) };
    }),
    chains: list(record['chains'], 'CacheRecord.records.chains').map(entry => {
      const chain = object(entry, 'struct field CacheRecord.records.chains');
      const layers = list(chain['layers'], 'ChainedResult.layers').map(layer => integer(layer, 'ChainedResult.layers'));
      return { layers, createdAt: time(chain['createdAt']) };
    }),
    digest: text(record['digest'], 'CacheRecord.records.digest'),
    inputs: list(record['inputs'], 'CacheRecord.records.inputs').map(alternatives =>
      list(alternatives, 'CacheRecord.records.inputs').map(readInput),
    ),
  };
}

function readInput(value: unknown): ConfigInput {
  const input = object(value, 'struct field CacheRecord.records.inputs');
  const selector = text(input['selector'], 'CacheInput.selector');
  return { ...(selector === '' ? {} : { selector }), link: integer(input['link'], 'CacheInput.link') };
}
