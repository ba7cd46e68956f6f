import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { digestOf, isDigest } from '../../wire/oci/digest.ts';
import { blobKey, parseBlobSource } from './blob-key.ts';
import { chooseRef, gitKey, parseGitSource, resolveGitStatically } from './git-key.ts';
import { httpFileName, httpKey, httpMetadata, parseHttpDate, parseHttpSource } from './http-key.ts';
import { imageKeys } from './image-key.ts';
import { parseInteger, redactUrl, type SourceKey, safeFileName, sourceCacheMap } from './source-key.ts';

interface Platform {
  readonly Architecture: string;
  readonly OS: string;
  readonly Variant?: string;
  readonly OSVersion?: string;
  readonly OSFeatures?: readonly string[];
}

interface Case {
  readonly name: string;
  readonly op: { readonly source: { readonly identifier: string; readonly attrs?: Readonly<Record<string, string>> } };
  readonly normalizedPlatform: Platform;
  readonly setup?: {
    readonly images?: readonly { readonly platform: { architecture: string }; readonly config: string }[];
    readonly response?: { readonly headers: Readonly<Record<string, string>>; readonly body: string };
  };
  readonly resolved: { readonly rootDigest?: string; readonly refs?: Readonly<Record<string, string>> };
  readonly expect: {
    readonly error?: string;
    readonly keys?: readonly { readonly key: string; readonly keyPreimage?: string; readonly digest: string }[];
  };
}

const all: readonly Case[] = JSON.parse(
  readFileSync(new URL('../../../test/vectors/cache-keys/source.json', import.meta.url), 'utf8'),
);
const cases = all.filter(({ op }) => !op.source.identifier.startsWith('local://'));

test('keys of image, blob, http and git sources are those of BuildKit', async t => {
  let passed = 0;
  for (const vector of cases) {
    await t.test(vector.name, () => {
      if (vector.expect.error !== undefined) {
        assert.throws(() => keysOf(vector), { message: vector.expect.error });
      } else {
        const keys = keysOf(vector);
        assert.deepEqual(
          keys.map(key => ({ key: key.key, keyPreimage: key.preimage, digest: sourceCacheMap(key).digest })),
          vector.expect.keys?.map(({ key, keyPreimage, digest }) => ({ key, keyPreimage, digest })),
        );
        for (const key of keys) assert.ok(key.parts.length > 0);
      }
      passed++;
    });
  }
  t.diagnostic(`${passed} of ${cases.length}; ${all.length - cases.length} more are of local sources`);
});

function keysOf(vector: Case): readonly SourceKey[] {
  const { identifier, attrs = {} } = vector.op.source;
  const separator = identifier.indexOf('://');
  const scheme = identifier.slice(0, separator);
  const rest = identifier.slice(separator + 3);
  switch (scheme) {
    case 'docker-image':
    case 'oci-layout':
      return imageKeysOf(vector, rest, attrs[`${scheme === 'oci-layout' ? 'oci' : 'image'}.layerlimit`]);
    case 'docker-image+blob':
      return [blobKey(parseBlobSource(rest, attrs))];
    case 'http': {
      const id = parseHttpSource(identifier, attrs);
      const response = vector.setup?.response;
      const headers = Object.entries(response?.headers ?? {}).map(([name, value]) => [name.toLowerCase(), value]);
      const checksum = id.checksum ?? digestOf(response?.body ?? '');
      return [httpKey(id, httpMetadata(id, checksum, Object.fromEntries(headers)))];
    }
    case 'git': {
      const id = parseGitSource(rest, attrs);
      const metadata = resolveGitStatically(id) ?? chooseRef(id, id.ref || 'main', listing(vector, id.ref || 'main'));
      return [gitKey(id, metadata)];
    }
    default:
      throw new Error(`no keys for ${scheme}`);
  }
}

function imageKeysOf(vector: Case, name: string, limit: string | undefined): readonly SourceKey[] {
  const { Architecture, OS, Variant, OSVersion, OSFeatures } = vector.normalizedPlatform;
  const root = vector.resolved.rootDigest ?? '';
  assert.ok(isDigest(root));
  const image = vector.setup?.images?.find(({ platform }) => platform.architecture === Architecture);
  return imageKeys({
    name,
    root,
    platform: {
      os: OS,
      architecture: Architecture,
      ...(Variant === undefined ? {} : { variant: Variant }),
      ...(OSVersion === undefined ? {} : { 'os.version': OSVersion }),
      ...(OSFeatures === undefined ? {} : { 'os.features': OSFeatures }),
    },
    config: Buffer.from(image?.config ?? ''),
    layerLimit: limit === undefined ? undefined : Number(limit),
  });
}

/** What `git ls-remote URL REF REF^{}` prints: names that end in the pattern at a slash. */
function listing(vector: Case, ref: string): string {
  const matches = (name: string) => [ref, `${ref}^{}`].some(pattern => `/${name}`.endsWith(`/${pattern}`));
  return Object.entries(vector.resolved.refs ?? {})
    .filter(([name]) => matches(name))
    .map(([name, object]) => `${object}\t${name}\n`)
    .join('');
}

test('names of downloaded files', () => {
  const named = (url: string, disposition?: string, filename?: string) =>
    httpFileName(parseHttpSource(url, filename === undefined ? {} : { 'http.filename': filename }), disposition);
  assert.equal(named('http://h/a%20b.txt?x=/y'), 'a b.txt');
  assert.equal(named('http://h/a/'), 'a');
  assert.equal(named('http://h'), 'download');
  assert.equal(named('http://h/x%2Fy'), 'y');
  assert.equal(named('http://h/a', 'attachment; filename="../b"'), 'b');
  assert.equal(named('http://h/a', 'attachment; filename=b/'), 'a');
  assert.equal(named('http://h/a', "attachment; filename=b; filename*=UTF-8''%e2%82%ac.txt"), '€.txt');
  assert.equal(named('http://h/a', 'attachment; filename="b"', 'c/d'), 'd');
  assert.equal(safeFileName(' x\u0001 '), 'download');
  assert.equal(safeFileName('..'), 'download');
  assert.equal(safeFileName('/'), 'download');
});

test('dates of HTTP in their three forms', () => {
  const time = Date.UTC(1994, 10, 6, 8, 49, 37);
  assert.equal(parseHttpDate('Sun, 06 Nov 1994 08:49:37 GMT'), time);
  assert.equal(parseHttpDate('Sunday, 06-Nov-94 08:49:37 GMT'), time);
  assert.equal(parseHttpDate('Sun Nov  6 08:49:37 1994'), time);
  assert.equal(parseHttpDate('yesterday'), undefined);
  assert.equal(parseHttpDate('2015-10-21T07:28:00Z'), undefined);
});

test('integers as Go reads them', () => {
  const cases: [text: string, value: number][] = [
    ['0644', 0o644],
    ['0o755', 0o755],
    ['0x1A', 26],
    ['0b11', 3],
    ['20', 20],
    ['0', 0],
    ['-1', -1],
  ];
  for (const [text, value] of cases) assert.equal(parseInteger('x', text), value);
  for (const text of ['', 'abc', '09', '1.5', '1e3'])
    assert.throws(() => parseInteger('http.perm', text), /invalid http\.perm/);
});

test('attributes that cannot be', () => {
  assert.throws(() => parseHttpSource('http://h/a', { 'http.checksum': 'md5:1' }), /invalid http\.checksum/);
  assert.throws(() => parseHttpSource('http://h/a', { 'http.sig.pubkey': 'k' }), /requires both pubkey and signature/);
  assert.throws(() => parseBlobSource('a.b/c:tag', {}), /needs a digest/);
  assert.throws(() => parseGitSource('h/r.git#--upload-pack=x', {}), /invalid git ref/);
  assert.throws(() => parseGitSource('h/r.git', { 'git.checksum': 'xyz' }), /expected hex commit hash/);
  assert.throws(
    () => resolveGitStatically(parseGitSource('h/r.git#a', { 'git.fetchbycommit': 'true' })),
    /fetch-by-commit requires/,
  );
  const wrong = { 'git.checksum': 'bb' };
  assert.throws(() => parseGitSource(`h/r.git#${'a'.repeat(40)}`, wrong), /expected checksum to match bb, got aaa/);
  const id = parseGitSource('h/r.git#v1', wrong);
  const printed = `${'a'.repeat(40)}\trefs/tags/v1\n${'c'.repeat(40)}\trefs/tags/v1^{}\n`;
  assert.throws(() => chooseRef(id, 'v1', printed), /expected checksum to match bb, got a+ or c+$/);
});

test('secrets in URLs are masked', () => {
  assert.equal(redactUrl('https://user:pw@h/r.git'), 'https://xxxxx:xxxxx@h/r.git');
  assert.equal(redactUrl('https://token@h/r.git'), 'https://xxxxx@h/r.git');
  assert.equal(redactUrl('https://user:p@w@h:8080/r.git'), 'https://xxxxx:xxxxx@h:8080/r.git');
  assert.equal(redactUrl('git@h:r.git'), 'git@h:r.git');
  assert.equal(redactUrl('oci-layout://store@sha256:ab'), 'oci-layout://store@sha256:ab');
});
