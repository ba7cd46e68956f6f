import { ExporterAttributeError } from './attributes.ts';

/** Where an annotation goes (BuildKit's attribute types). */
type AnnotationLevel = 'manifest' | 'manifest-descriptor' | 'index' | 'index-descriptor';

type AnnotationMap = Record<string, string>;

/** Annotations by level; those of the manifest levels for each platform. */
export interface Annotations {
  readonly index: AnnotationMap;
  readonly indexDescriptor: AnnotationMap;
  manifest(platform: string): AnnotationMap;
  manifestDescriptor(platform: string): AnnotationMap;
}

const ATTRIBUTE = /^annotation(?:-(manifest|manifest-descriptor|index|index-descriptor))?(?:\[([^\]]*)\])?\.(.+)$/s;

interface Entry {
  readonly level: AnnotationLevel;
  readonly platform?: string;
  readonly key: string;
  readonly value: string;
}

/**
 * Reads `annotation[-TYPE][[PLATFORM]].KEY` attributes.
 * @param platforms ids of the result's platforms
 * @throws ExporterAttributeError for an unknown type, a platform that the result does not have, and index annotations of an
 * image without an index.
 */
export function readAnnotations(
  attributes: Readonly<Record<string, string>>,
  platforms: readonly string[],
  hasIndex: boolean,
): Annotations {
  const entries = Object.entries(attributes).map(([attribute, value]): Entry => {
    const match = ATTRIBUTE.exec(attribute);
    if (!match) {
      throw new ExporterAttributeError(
        `invalid annotation ${attribute}: expected annotation[-manifest|-manifest-descriptor|-index|-index-descriptor].KEY`,
      );
    }
    const [, level, platform, key] = match;
    return { level: levelOf(level), ...(platform === undefined ? {} : { platform }), key: key ?? '', value };
  });
  for (const { level, platform } of entries) {
    if (!hasIndex && (level === 'index' || level === 'index-descriptor')) {
      throw new ExporterAttributeError('index annotations not supported for single platform export');
    }
    if (platform !== undefined && !platforms.includes(platform)) {
      throw new ExporterAttributeError(`invalid annotation: no platform ${platform} found in source`);
    }
  }
  const select = (level: AnnotationLevel, platform?: string) => {
    const chosen = entries.filter(
      entry => entry.level === level && (entry.platform === undefined || entry.platform === platform),
    );
    return Object.fromEntries(chosen.map(({ key, value }) => [key, value]));
  };
  return {
    index: select('index'),
    indexDescriptor: select('index-descriptor'),
    manifest: platform => select('manifest', platform),
    manifestDescriptor: platform => select('manifest-descriptor', platform),
  };
}

function levelOf(text: string | undefined): AnnotationLevel {
  return text === 'manifest-descriptor' || text === 'index' || text === 'index-descriptor' ? text : 'manifest';
}
