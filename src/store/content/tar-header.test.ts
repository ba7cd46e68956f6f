import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { toBytePath } from '../../wire/fsutil/byte-path.ts';
import { encodeTarHeader, roundUp, TAR_END, type TarHeader, TarHeaderError } from './tar-header.ts';
import { createTarReader } from './tar-reader.ts';

interface VectorEntry {
  readonly type: string;
  readonly name: string;
  readonly mode: string;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtime: number;
  readonly linkname?: string;
  readonly devmajor?: number;
  readonly devminor?: number;
  readonly prefix?: string;
  readonly sha256?: string;
  readonly pax?: { readonly headerName: string; readonly records: readonly (readonly [string, string])[] };
}

interface VectorTree {
  readonly [path: string]: { readonly content?: string; readonly data?: string };
}

interface Vector {
  readonly name: string;
  readonly context: VectorTree;
  readonly other?: VectorTree;
  readonly layers: Readonly<
    Record<
      string,
      {
        readonly diffID: string;
        readonly base?: boolean;
        readonly uncompressedSize: number;
        readonly entries?: readonly VectorEntry[];
      }
    >
  >;
}

const folder = new URL('../../../test/vectors/images/', import.meta.url);
const vectors = readdirSync(folder)
  .filter(name => name.endsWith('.json'))
  .map(name => JSON.parse(readFileSync(new URL(name, folder), 'utf8')) as Vector);

/** Contents by digest: of the trees, and what the RUN steps of the cases write. */
function contents({ context, other = {} }: Vector): Map<string, Buffer> {
  const all = ['1\n', '2\n', '3\n', 'new\n', '\0'.repeat(100_000)].map(text => Buffer.from(text));
  for (const { content, data } of [...Object.values(context), ...Object.values(other)]) {
    if (content !== undefined) all.push(Buffer.from(content));
    if (data !== undefined) all.push(Buffer.from(data, 'base64'));
  }
  return new Map(all.map(bytes => [createHash('sha256').update(bytes).digest('hex'), bytes]));
}

function headerOf(entry: VectorEntry): TarHeader {
  const records = new Map<string, string>();
  for (const [key, value] of entry.pax?.records ?? []) {
    const bytes = value.startsWith('base64:') ? Buffer.from(value.slice(7), 'base64') : Buffer.from(value);
    records.set(key, bytes.toString('latin1'));
  }
  const { type, size, mtime } = entry;
  const fullName = entry.prefix === undefined ? entry.name : `${entry.prefix}/${entry.name}`;
  const capability = records.get('SCHILY.xattr.security.capability');
  return {
    name: records.get('path') ?? toBytePath(fullName),
    type,
    mode: Number.parseInt(entry.mode, 8),
    uid: Number(records.get('uid') ?? entry.uid),
    gid: Number(records.get('gid') ?? entry.gid),
    size,
    mtime,
    linkname: records.get('linkpath') ?? toBytePath(entry.linkname ?? ''),
    devmajor: entry.devmajor ?? 0,
    devminor: entry.devminor ?? 0,
    ...(capability === undefined ? {} : { records: new Map([['SCHILY.xattr.security.capability', capability]]) }),
  };
}

const layers = vectors.flatMap(vector =>
  Object.values(vector.layers)
    .filter(layer => layer.base !== true)
    .map(layer => ({ vector, layer })),
);

test(`headers are those of Go: ${layers.length} of ${layers.length} layers of the image vectors made again bit for bit`, () => {
  for (const { vector, layer } of layers) {
    const known = contents(vector);
    const parts: Uint8Array[] = [];
    for (const entry of layer.entries ?? []) {
      parts.push(encodeTarHeader(headerOf(entry)));
      if (entry.sha256 === undefined) continue;
      const content = known.get(entry.sha256.replace('sha256:', ''));
      assert.ok(content, `${vector.name}: content of ${entry.name}`);
      parts.push(content, new Uint8Array(roundUp(content.length) - content.length));
    }
    parts.push(TAR_END);
    const tar = Buffer.concat(parts);
    assert.equal(`sha256:${createHash('sha256').update(tar).digest('hex')}`, layer.diffID, vector.name);
  }
});

const plain: TarHeader = { name: 'a', type: '0', mode: 0o644, uid: 0, gid: 0, size: 0, mtime: 1 };

function roundTrip(header: TarHeader): TarHeader | undefined {
  let found: TarHeader | undefined;
  const reader = createTarReader({
    entry(seen) {
      found = seen;
    },
    data() {},
  });
  reader.push(encodeTarHeader(header));
  reader.push(new Uint8Array(roundUp(header.size)));
  reader.push(TAR_END);
  reader.finish();
  return found;
}

test('what does not fit goes into PAX records and comes back', () => {
  const cases: Partial<TarHeader>[] = [
    { name: 'x'.repeat(101) },
    { name: `${'p'.repeat(155)}/${'n'.repeat(100)}` },
    { name: `${'p'.repeat(156)}/${'n'.repeat(100)}` },
    { name: `${'d'.repeat(120)}/`, type: '5' },
    { name: `${'d'.repeat(50)}/${'e'.repeat(99)}/`, type: '5' },
    { name: toBytePath('ünï') },
    { linkname: 'l'.repeat(101), type: '2' },
    { uid: 2097152, gid: 2 ** 31 },
    { mtime: -1 },
    { mtime: -2, mtimeNanoseconds: 500_000_000 },
    { mtime: 2 ** 34, mtimeNanoseconds: 1 },
    { uname: 'u'.repeat(33), gname: 'wheel' },
    { records: new Map([['SCHILY.xattr.user.x', '\0\xff=\n']]) },
    { type: '3', devmajor: 8, devminor: 1 },
  ];
  for (const change of cases) {
    const header = { ...plain, ...change };
    const back = roundTrip(header);
    for (const key of ['name', 'type', 'mode', 'uid', 'gid', 'size', 'mtime'] as const) {
      assert.equal(back?.[key], header[key], `${key} of ${JSON.stringify(change)}`);
    }
    assert.equal(back?.linkname ?? '', header.linkname ?? '');
    assert.equal(back?.mtimeNanoseconds ?? 0, header.mtimeNanoseconds ?? 0);
    assert.equal(back?.uname ?? '', header.uname ?? '');
    assert.equal(back?.devmajor ?? 0, header.devmajor ?? 0);
    for (const [name, value] of header.records ?? []) assert.equal(back?.records?.get(name), value);
  }
});

test('a name that splits needs no PAX header, unless something else does', () => {
  const name = `${'p'.repeat(80)}/${'n'.repeat(60)}`;
  assert.equal(encodeTarHeader({ ...plain, name }).length, 512);
  const both = Buffer.from(encodeTarHeader({ ...plain, name, uid: 3_000_000 })).toString('latin1');
  assert.match(both, new RegExp(`path=${name}\n`));
  assert.match(both, /16 uid=3000000\n|15 uid=3000000\n/);
});

test('values that no tar holds are refused', () => {
  assert.throws(() => encodeTarHeader({ ...plain, devmajor: 2 ** 21 }), TarHeaderError);
  assert.throws(() => encodeTarHeader({ ...plain, name: 'a\0b' }), TarHeaderError);
  assert.throws(() => encodeTarHeader({ ...plain, records: new Map([['a=b', '']]) }), TarHeaderError);
});
