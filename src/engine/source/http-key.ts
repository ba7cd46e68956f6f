import { type Digest, digestOf, isDigest } from '../../wire/oci/digest.ts';
import { goJson } from '../../wire/oci/go-json.ts';
import type { KeyPart } from '../status/event.ts';
import { baseName, parseInteger, SourceError, type SourceKey, safeFileName } from './source-key.ts';

/** What a file that is made of a download or a blob is like. */
export interface FileAttributes {
  /** Permission bits; 0 stands for 0600. */
  readonly perm: number;
  readonly uid: number;
  readonly gid: number;
}

/** An http source, read out of its op. */
export interface HttpIdentifier extends FileAttributes {
  readonly url: string;
  /** As given; empty when not. */
  readonly filename: string;
  readonly checksum: Digest | undefined;
  /** Name of the secret with the `Authorization` header; empty when not given. */
  readonly authHeaderSecret: string;
  readonly headers: readonly { readonly Name: string; readonly Value: string }[];
  /** A detached signature that the file must have, and the keys that may have made it. */
  readonly signature?: { readonly publicKey: string; readonly signature: string };
}

/** What a server said about the file. */
export interface HttpMetadata {
  readonly filename: string;
  readonly checksum: Digest;
  /** `Last-Modified`, in the first of the three forms of RFC 9110, section 5.6.7. */
  readonly lastModified: string | undefined;
}

const HEADER_PREFIX = 'http.header.';
const HEADERS: Readonly<Record<string, string>> = { accept: 'Accept', 'user-agent': 'User-Agent' };

/**
 * Reads the attributes of an http source.
 * @throws SourceError
 */
export function parseHttpSource(url: string, attrs: Readonly<Record<string, string>>): HttpIdentifier {
  const checksum = attrs['http.checksum'];
  if (checksum !== undefined && !isDigest(checksum))
    throw new SourceError(`invalid http.checksum "${checksum}" for ${url}`);
  const headers = new Map<string, string>();
  for (const [name, value] of Object.entries(attrs)) {
    const header = name.startsWith(HEADER_PREFIX) ? HEADERS[name.slice(HEADER_PREFIX.length).toLowerCase()] : undefined;
    if (header !== undefined) headers.set(header, value);
  }
  const publicKey = attrs['http.sig.pubkey'] ?? '';
  const signature = attrs['http.sig.signature'] ?? '';
  if ((publicKey === '') !== (signature === '')) {
    throw new SourceError('http signature verification requires both pubkey and signature');
  }
  return {
    url,
    ...fileAttributes(attrs),
    filename: attrs['http.filename'] ?? '',
    checksum,
    authHeaderSecret: attrs['http.authheadersecret'] ?? '',
    headers: [...headers].sort(([a], [b]) => (a < b ? -1 : 1)).map(([Name, Value]) => ({ Name, Value })),
    ...(publicKey === '' ? {} : { signature: { publicKey, signature } }),
  };
}

/** Mode and owner of the file, from the attributes that http and blob sources share. */
export function fileAttributes(attrs: Readonly<Record<string, string>>): FileAttributes {
  const number = (name: string) => {
    const text = attrs[name];
    return text === undefined ? 0 : parseInteger(name, text);
  };
  return { perm: number('http.perm'), uid: number('http.uid'), gid: number('http.gid') };
}

/** The key of a download. */
export function httpKey(id: HttpIdentifier, metadata: HttpMetadata): SourceKey {
  const preimage = goJson({
    Filename: metadata.filename,
    Perm: id.perm,
    UID: id.uid,
    GID: id.gid,
    Checksum: metadata.checksum,
    LastModTime: metadata.lastModified,
    AuthHeaderSecret: id.authHeaderSecret || undefined,
    Header: id.headers.length > 0 ? id.headers : undefined,
  });
  const parts: KeyPart[] = [
    { kind: 'http', name: 'content', value: metadata.checksum },
    { kind: 'http', name: 'filename', value: metadata.filename },
    ...filePartsOf('http', id),
    ...(metadata.lastModified === undefined
      ? []
      : [{ kind: 'http', name: 'last modified', value: metadata.lastModified }]),
    ...(id.authHeaderSecret === '' ? [] : [{ kind: 'http', name: 'auth secret', value: id.authHeaderSecret }]),
    ...id.headers.map(({ Name, Value }) => ({ kind: 'http', name: `header ${Name}`, value: Value })),
  ];
  return { key: digestOf(preimage), preimage, parts };
}

/** The parts for mode and owner, those that are not the default. */
export function filePartsOf(kind: string, { perm, uid, gid }: FileAttributes): KeyPart[] {
  const owner = uid !== 0 || gid !== 0;
  return [
    ...(perm === 0 ? [] : [{ kind, name: 'mode', value: perm.toString(8).padStart(4, '0') }]),
    ...(owner ? [{ kind, name: 'owner', value: `${uid}:${gid}` }] : []),
  ];
}

/** The name under which validators of a download are kept: all that decides what the same server would send. */
export function httpRequestKey(id: HttpIdentifier): Digest {
  return digestOf(
    goJson({
      Filename: Buffer.from(`${id.url}\0${id.filename}`).toString('base64'),
      Perm: id.perm,
      UID: id.uid,
      GID: id.gid,
      AuthHeaderSecret: id.authHeaderSecret || undefined,
      Header: id.headers.length > 0 ? id.headers : null,
    }),
  );
}

/**
 * What is known of a download from its content's digest and the headers that came with it (names in lower case).
 */
export function httpMetadata(
  id: HttpIdentifier,
  checksum: Digest,
  headers: Readonly<Record<string, string | undefined>>,
): HttpMetadata {
  const modified = headers['last-modified'];
  const time = modified === undefined ? undefined : parseHttpDate(modified);
  return {
    filename: httpFileName(id, headers['content-disposition']),
    checksum,
    lastModified: time === undefined ? undefined : new Date(time).toUTCString(),
  };
}

/**
 * The name of the downloaded file: as given, else as the server says, else the last element of the URL's path.
 * @param disposition the `Content-Disposition` header
 */
export function httpFileName(id: HttpIdentifier, disposition?: string): string {
  if (id.filename !== '') return safeFileName(id.filename);
  const said = disposition === undefined ? undefined : dispositionFileName(disposition);
  if (said !== undefined && said !== '' && !said.endsWith('/')) return safeFileName(baseName(said));
  try {
    // Go takes the path percent-decoded, so an encoded slash separates too.
    const base = baseName(decodeURIComponent(new URL(id.url).pathname));
    return safeFileName(base === '.' || base === '/' ? '' : base);
  } catch {
    return safeFileName('');
  }
}

/** The `filename` of `Content-Disposition` (RFC 6266), `filename*` before it where it is there. */
function dispositionFileName(header: string): string | undefined {
  const parameters = new Map<string, string>();
  const [, rest = ''] = /^\s*[^;\s]+\s*(;.*)?$/s.exec(header) ?? [];
  for (const [, name = '', quoted, plain] of rest.matchAll(/;\s*([^=;\s]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;\s]*))/g)) {
    parameters.set(name.toLowerCase(), quoted === undefined ? (plain ?? '') : quoted.replace(/\\(.)/g, '$1'));
  }
  const extended = /^(?:utf-8|us-ascii)'[^']*'(.*)$/i.exec(parameters.get('filename*') ?? '')?.[1];
  if (extended === undefined) return parameters.get('filename');
  try {
    return decodeURIComponent(extended);
  } catch {
    return parameters.get('filename');
  }
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const TIME = '(\\d\\d):(\\d\\d):(\\d\\d)';
const FORMS: readonly {
  readonly pattern: RegExp;
  readonly order: readonly [day: number, month: number, year: number, time: number];
}[] = [
  { pattern: new RegExp(`^[A-Z][a-z]{2}, (\\d\\d) ([A-Z][a-z]{2}) (\\d{4}) ${TIME} GMT$`), order: [1, 2, 3, 4] },
  {
    pattern: new RegExp(`^[A-Z][a-z]{5,8}, (\\d\\d)-([A-Z][a-z]{2})-(\\d\\d) ${TIME} (?:GMT|UTC)$`),
    order: [1, 2, 3, 4],
  },
  { pattern: new RegExp(`^[A-Z][a-z]{2} ([A-Z][a-z]{2}) ([ \\d]\\d) ${TIME} (\\d{4})$`), order: [2, 1, 6, 3] },
];

/** A date of HTTP in any of its three forms, in milliseconds since the epoch; undefined when it is none. */
export function parseHttpDate(text: string): number | undefined {
  for (const { pattern, order } of FORMS) {
    const match = pattern.exec(text);
    if (match === null) continue;
    const at = (index: number) => match[index] ?? '';
    const month = MONTHS.indexOf(at(order[1]));
    const short = at(order[2]).length === 2;
    // Go reads two digits below 69 as years after 2000.
    const year = Number(at(order[2])) + (short ? (Number(at(order[2])) < 69 ? 2000 : 1900) : 0);
    const [hour, minute, second] = [0, 1, 2].map(i => Number(at(order[3] + i)));
    const time = Date.UTC(year, month, Number(at(order[0])), hour, minute, second);
    if (month >= 0 && !Number.isNaN(time)) return time;
  }
  return undefined;
}
