import type { TransferFilter } from '../../wire/fsutil/filter-tree.ts';
import { digestOf } from '../../wire/oci/digest.ts';
import { goJson } from '../../wire/oci/go-json.ts';
import type { KeyPart } from '../status/event.ts';
import { SourceError, type SourceKey } from './source-key.ts';

/** A local source, read out of its op. */
export interface LocalIdentifier {
  /** The name that the client offers the directory under. */
  readonly directoryName: string;
  /** The session that the op names; empty when any will do. */
  readonly session: string;
  readonly filter: TransferFilter;
  /** Only what is known of files is wanted, not their contents, but for `metadataExceptions`. */
  readonly metadataOnly: boolean;
  readonly metadataExceptions: readonly string[] | undefined;
}

/** Reads a local source. @param identifier `local://context` @throws SourceError */
export function parseLocalSource(identifier: string, attrs: Readonly<Record<string, string>>): LocalIdentifier {
  return {
    directoryName: identifier.replace(/^local:\/\//, ''),
    session: attrs['local.session'] ?? '',
    filter: {
      includePatterns: listAttribute(attrs, 'local.includepattern'),
      excludePatterns: listAttribute(attrs, 'local.excludepatterns'),
      followPaths: listAttribute(attrs, 'local.followpaths'),
    },
    metadataOnly: attrs['local.metadatatransfer'] === 'true',
    metadataExceptions: listAttribute(attrs, 'local.metadatatransferexclude'),
  };
}

function listAttribute(attrs: Readonly<Record<string, string>>, name: string): string[] | undefined {
  const text = attrs[name];
  if (text === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    if (value === null) return undefined;
    if (Array.isArray(value) && value.every(item => typeof item === 'string')) return value;
  } catch (cause) {
    throw new SourceError(`invalid ${name}: ${text} is not a list`, { cause });
  }
  throw new SourceError(`invalid ${name}: ${text} is not a list of texts`);
}

/**
 * The key of a local source: it names the session, so that it never matches in another build. What is in the directory counts
 * by content, in the steps that use it. @param session of the build, for a source that names none
 */
export function localKey(source: LocalIdentifier, session: string): SourceKey {
  const named = source.session === '' ? session : source.session;
  const colon = named.indexOf(':');
  const name = colon < 0 ? source.directoryName : `${named.slice(0, colon)}-${source.directoryName}`;
  const { includePatterns, excludePatterns, followPaths } = source.filter;
  const preimage = goJson({
    SessionID: colon < 0 ? named : named.slice(colon + 1),
    IncludePatterns: includePatterns ?? null,
    ExcludePatterns: excludePatterns ?? null,
    FollowPaths: followPaths ?? null,
    MetadataTransfer: source.metadataOnly || undefined,
    MetadataExceptions: source.metadataExceptions?.length ? source.metadataExceptions : undefined,
  });
  const list = (part: string, patterns: readonly string[] | undefined): KeyPart[] =>
    patterns === undefined ? [] : [{ kind: 'local', name: part, value: patterns.join(' ') }];
  return {
    key: `session:${name}:${digestOf(preimage)}`,
    preimage,
    parts: [
      { kind: 'local', name: source.directoryName, value: 'read anew by every build' },
      ...list('include', includePatterns),
      ...list('exclude', excludePatterns),
      ...list('follow', followPaths),
    ],
  };
}
