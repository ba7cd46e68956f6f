import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { ACCOUNT, startDockerRegistry, type TestRegistry } from '../../../test/support/docker-registry.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { digestOf } from '../oci/digest.ts';
import { OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST } from '../oci/media-types.ts';
import { parseReference } from '../oci/reference.ts';
import type { UploadSource } from './blob-upload.ts';
import { createRegistryClient } from './client.ts';

const signal = new AbortController().signal;
let registry: TestRegistry;
let locked: TestRegistry;

before(async () => {
  registry = await startDockerRegistry();
  locked = await startDockerRegistry({ login: true });
});

after(async () => {
  await registry[Symbol.asyncDispose]();
  await locked[Symbol.asyncDispose]();
});

function source(bytes: Uint8Array, mediaType = OCI_LAYER): UploadSource {
  return {
    descriptor: { mediaType, digest: digestOf(bytes), size: bytes.length },
    async *open(offset) {
      for (let at = offset; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536);
    },
  };
}

function manifestOf(config: Descriptor, layers: Descriptor[]): Uint8Array {
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers }));
}

async function whole(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

test('an image goes there and back', async () => {
  await using client = createRegistryClient();
  const reference = parseReference(`${registry.host}/team/app:v1`);
  const layer = source(randomBytes(3_000_000));
  const config = source(Buffer.from('{}'), OCI_CONFIG);
  const sent: number[] = [];
  assert.equal(await client.pushBlob(reference, layer, { onProgress: bytes => sent.push(bytes) }, signal), 'uploaded');
  assert.equal(sent.at(-1), 3_000_000);
  assert.equal(await client.pushBlob(reference, layer, {}, signal), 'exists');
  assert.equal(await client.pushBlob(reference, config, {}, signal), 'uploaded');
  const bytes = manifestOf(config.descriptor, [layer.descriptor]);
  const pushed = await client.pushManifest(reference, bytes, OCI_MANIFEST, signal);
  assert.deepEqual(await client.pushManifest(reference, bytes, OCI_MANIFEST, signal), pushed);

  const descriptor = await client.resolve(reference, signal);
  assert.deepEqual(descriptor, { mediaType: OCI_MANIFEST, digest: digestOf(bytes), size: bytes.length });
  assert.deepEqual(await client.resolve({ ...reference, digest: descriptor.digest }, signal), descriptor);
  assert.deepEqual(Buffer.from(await client.manifest(reference, descriptor, signal)), bytes);
  assert.equal(Buffer.from(await client.blobBytes(reference, config.descriptor, signal)).toString(), '{}');
  const received: number[] = [];
  const back = await whole(client.blob(reference, layer.descriptor, { onProgress: n => received.push(n) }, signal));
  assert.equal(digestOf(back), layer.descriptor.digest);
  assert.equal(received.at(-1), 3_000_000);
  assert.ok(await client.hasBlob(reference, layer.descriptor.digest, signal));
  assert.ok(!(await client.hasBlob(reference, digestOf('absent'), signal)));
});

test('a blob of another repository is mounted', async () => {
  await using client = createRegistryClient();
  const layer = source(randomBytes(1000));
  const from = parseReference(`${registry.host}/mount/from`);
  const to = parseReference(`${registry.host}/mount/to`);
  await client.pushBlob(from, layer, {}, signal);
  const options = { mountFrom: `${registry.host}/mount/from` };
  assert.equal(await client.pushBlob(to, layer, options, signal), 'mounted');
  assert.equal(await client.pushBlob(to, source(randomBytes(10)), options, signal), 'uploaded');
  const elsewhere = { mountFrom: 'other.example.com/x' };
  assert.equal(await client.pushBlob(to, source(randomBytes(10)), elsewhere, signal), 'uploaded');
});

test('an empty blob and a tag that is moved', async () => {
  await using client = createRegistryClient();
  const reference = parseReference(`${registry.host}/small:latest`);
  const empty = source(new Uint8Array(0));
  assert.equal(await client.pushBlob(reference, empty, {}, signal), 'uploaded');
  assert.equal((await whole(client.blob(reference, empty.descriptor, {}, signal))).length, 0);
  for (const text of ['{"a":1}', '{"b":2}']) {
    const config = source(Buffer.from(text), OCI_CONFIG);
    await client.pushBlob(reference, config, {}, signal);
    const bytes = manifestOf(config.descriptor, []);
    await client.pushManifest(reference, bytes, OCI_MANIFEST, signal);
    assert.equal((await client.resolve(reference, signal)).digest, digestOf(bytes));
  }
});

test('what is not there is not found', async () => {
  await using client = createRegistryClient();
  const reference = parseReference(`${registry.host}/no/such:tag`);
  const message = `${registry.host}/no/such:tag: not found`;
  await assert.rejects(client.resolve(reference, signal), { name: 'RegistryError', code: 'not-found', message });
  const absent = { mediaType: OCI_LAYER, digest: digestOf('x'), size: 1 };
  await assert.rejects(whole(client.blob(reference, absent, {}, signal)), { code: 'not-found' });
});

test('logs in with a password, and says so when it cannot', async () => {
  const reference = parseReference(`${locked.host}/private:v1`);
  const asked: string[] = [];
  await using client = createRegistryClient({
    credentials: async host => {
      asked.push(host);
      return ACCOUNT;
    },
  });
  await client.pushBlob(reference, source(Buffer.from('x')), {}, signal);
  assert.deepEqual(asked, [locked.host]);

  // Credentials may be replaced while a client lives, as when another one of those who share it has to prove itself.
  const known = [{ ...ACCOUNT, password: 'taken back' }, ACCOUNT];
  await using renewed = createRegistryClient({ credentials: async () => known.shift() });
  await renewed.pushBlob(reference, source(Buffer.from('z')), {}, signal);
  assert.deepEqual(known, []);

  await using stranger = createRegistryClient();
  await assert.rejects(stranger.resolve(reference, signal), {
    code: 'unauthorized',
    message: new RegExp(
      `^pull access denied for .*: it does not exist or needs authorization, run "docker login ${locked.host}"`,
    ),
  });
  await using wrong = createRegistryClient({ credentials: async () => ({ ...ACCOUNT, password: 'no' }) });
  await assert.rejects(wrong.pushBlob(reference, source(Buffer.from('y')), {}, signal), {
    code: 'unauthorized',
    message: /^push access denied for .*refused the credentials of tester, run "docker login/,
  });
});

test('falls back from a mirror that lacks it or is down', async () => {
  await using client = createRegistryClient();
  const reference = parseReference(`${registry.host}/mirrored:v1`);
  const config = source(Buffer.from('{"mirrored":1}'), OCI_CONFIG);
  await client.pushBlob(reference, config, {}, signal);
  await client.pushManifest(reference, manifestOf(config.descriptor, []), OCI_MANIFEST, signal);
  const mirrors = [locked.host, '127.0.0.1:1'];
  await using mirrored = createRegistryClient({
    hosts: new Map([[registry.host, { mirrors, ca: [], keypairs: [], tlsConfigDirs: [] }]]),
    retry: { baseDelay: 1 },
  });
  const descriptor = await mirrored.resolve(reference, signal);
  await mirrored.manifest(reference, descriptor, signal);
  assert.equal((await mirrored.blobBytes(reference, config.descriptor, signal)).length, config.descriptor.size);
});

test('what refers to a manifest is listed, under a tag where the registry has no list; nothing is an empty list', async () => {
  await using client = createRegistryClient({ retry: { attempts: 1 } });
  const reference = parseReference(`${registry.host}/team/referred:v1`);
  const config = source(Buffer.from('{}'), OCI_CONFIG);
  await client.pushBlob(reference, config, {}, signal);
  const subject = await client.pushManifest(reference, manifestOf(config.descriptor, []), OCI_MANIFEST, signal);
  assert.deepEqual(await client.referrers(reference, subject.digest, signal), []);
  const artifactType = 'application/vnd.dev.sigstore.bundle.v0.3+json';
  const index = { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [{ ...subject, artifactType }] };
  const tagged = parseReference(`${registry.host}/team/referred:${subject.digest.replace(':', '-')}`);
  await client.pushManifest(tagged, Buffer.from(JSON.stringify(index)), OCI_INDEX, signal);
  const [referrer] = await client.referrers(reference, subject.digest, signal);
  assert.deepEqual([referrer?.digest, referrer?.artifactType], [subject.digest, artifactType]);
});
