/** A cache in an S3 bucket (remote-cache facts, section 13). */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { Descriptor } from '../../../wire/oci/descriptor.ts';
import { hexOf } from '../../../wire/oci/digest.ts';
import { discard, headerOf, readUpTo } from '../../../wire/registry/transport.ts';
import { type AttributeReader, CacheOptionsError } from './attributes.ts';
import { type AwsCredentials, emptyPayload, encode, signRequest } from './aws-signature.ts';
import { RemoteCacheError } from './content-place.ts';
import type { ObjectHttp, ObjectRequest } from './object-http.ts';
import type { ObjectWriter } from './object-place.ts';
import type { CacheLayer } from './port.ts';

export interface S3Place {
  readonly type: 's3';
  readonly bucket: string;
  readonly region: string;
  /** What objects' names begin with. */
  readonly manifests: string;
  readonly blobs: string;
  /** The first is read, all are written. */
  readonly names: readonly string[];
  readonly endpoint?: URL;
  readonly pathStyle: boolean;
  readonly credentials?: AwsCredentials;
  /** Objects that are older, in milliseconds, are written again, so that they do not expire. */
  readonly touchRefresh: number;
  readonly parallelism: number;
}

const partSize = 8 << 20;
const multipartFrom = 16 << 20;
/** What S3 copies in one request. */
const mostCopied = 5 * 2 ** 30;
const largestDocument = 256 << 20;
const hour = 3_600_000;

/** Reads the attributes of `type=s3`. @throws CacheOptionsError */
export function readS3Place(read: AttributeReader, env: NodeJS.ProcessEnv): S3Place {
  const need = (name: string, variable: string): string => {
    const value = read.text(name) ?? (env[variable] || undefined);
    if (value === undefined) throw new CacheOptionsError(`${name} ($${variable}) not set for s3 cache`);
    return value;
  };
  const bucket = need('bucket', 'AWS_BUCKET');
  const region = need('region', 'AWS_REGION');
  const prefix = read.text('prefix') ?? '';
  const endpoint = read.text('endpoint_url');
  if (endpoint !== undefined && !URL.canParse(endpoint))
    throw new CacheOptionsError(`endpoint_url ${endpoint} is no URL`);
  const accessKeyId = read.text('access_key_id');
  const secretAccessKey = read.text('secret_access_key');
  const sessionToken = read.text('session_token');
  const token = sessionToken === undefined ? {} : { sessionToken };
  const mode = read.text('retry_mode');
  if (mode !== undefined && mode !== 'standard' && mode !== 'adaptive') {
    throw new CacheOptionsError('retry_mode must be "standard" or "adaptive"');
  }
  read.positive('retry_max_attempts');
  return {
    type: 's3',
    bucket,
    region,
    manifests: prefix + (read.text('manifests_prefix') ?? 'manifests/'),
    blobs: prefix + (read.text('blobs_prefix') ?? 'blobs/'),
    names: (read.text('name') ?? 'buildkit').split(';'),
    ...(endpoint === undefined ? {} : { endpoint: new URL(endpoint) }),
    pathStyle: endpoint !== undefined && read.boolean('use_path_style', false),
    ...(accessKeyId === undefined || secretAccessKey === undefined
      ? {}
      : { credentials: { accessKeyId, secretAccessKey, ...token } }),
    touchRefresh: read.duration('touch_refresh', 24 * hour),
    parallelism: read.positive('upload_parallelism') ?? 4,
  };
}

/** Reads and writes the cache of a bucket. */
export function s3Writer(place: S3Place, http: ObjectHttp, env: NodeJS.ProcessEnv): ObjectWriter {
  let credentials: Promise<AwsCredentials> | undefined;
  const known = () => {
    credentials ??= place.credentials === undefined ? findCredentials(env) : Promise.resolve(place.credentials);
    return credentials;
  };

  function urlOf(key: string, query: Readonly<Record<string, string>> = {}): URL {
    const { bucket, region, endpoint, pathStyle } = place;
    const base = endpoint ?? new URL(`https://s3.${region}.amazonaws.com`);
    const host = pathStyle ? base.host : `${bucket}.${base.host}`;
    const path = key.split('/').map(encode).join('/');
    const before = base.pathname.replace(/\/$/, '') + (pathStyle ? `/${encode(bucket)}` : '');
    const url = new URL(`${base.protocol}//${host}${before}/${path}`);
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
    return url;
  }

  async function send(
    request: Pick<ObjectRequest, 'method' | 'accept' | 'body'> & { readonly payload?: string },
    url: URL,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ) {
    const keys = await known();
    const { method, accept, body, payload = emptyPayload } = request;
    const own = { 'accept-encoding': 'identity', ...headers };
    const sign = () => signRequest({ method, url, headers: own, payload }, keys, place.region, new Date());
    const what = `s3://${place.bucket}${decodeURIComponent(url.pathname)}`;
    return http.send(url, { method, headers: sign, accept, what, ...(body === undefined ? {} : { body }) }, signal);
  }

  async function put(key: string, bytes: Uint8Array | CacheLayer, signal: AbortSignal): Promise<void> {
    const isBytes = bytes instanceof Uint8Array;
    const size = isBytes ? bytes.length : bytes.descriptor.size;
    const payload = isBytes ? createHash('sha256').update(bytes).digest('hex') : hexOf(bytes.digest);
    const body = () => (isBytes ? bytes : bytes.open(0, signal));
    const headers = { 'content-type': 'application/octet-stream', 'content-length': String(size) };
    const request = { method: 'PUT', accept: [200], payload, ...(size === 0 ? {} : { body }) } as const;
    await discard(await send(request, urlOf(key, { 'x-id': 'PutObject' }), headers, signal));
  }

  async function putInParts(key: string, layer: CacheLayer, signal: AbortSignal): Promise<void> {
    const type = { 'content-type': 'application/octet-stream' };
    const started = await send({ method: 'POST', accept: [200] }, urlOf(key, { uploads: '' }), type, signal);
    const uploadId = /<UploadId>([^<]+)</.exec((await readUpTo(started, 1 << 16)).toString())?.[1];
    if (uploadId === undefined) throw new RemoteCacheError(`s3://${place.bucket}/${key}: no upload was started`);
    const tags: string[] = [];
    for await (const part of partsOf(layer.open(0, signal))) {
      const payload = createHash('sha256').update(part).digest('hex');
      const url = urlOf(key, { partNumber: String(tags.length + 1), uploadId, 'x-id': 'UploadPart' });
      const headers = { ...type, 'content-length': String(part.length) };
      const answer = await send({ method: 'PUT', accept: [200], payload, body: () => part }, url, headers, signal);
      tags.push(headerOf(answer, 'etag') ?? '');
      await discard(answer);
    }
    const list = tags.map((tag, at) => `<Part><PartNumber>${at + 1}</PartNumber><ETag>${tag}</ETag></Part>`).join('');
    const xml = Buffer.from(`<CompleteMultipartUpload>${list}</CompleteMultipartUpload>`);
    const payload = createHash('sha256').update(xml).digest('hex');
    const headers = { 'content-type': 'application/xml', 'content-length': String(xml.length) };
    const request = { method: 'POST', accept: [200], payload, body: () => xml } as const;
    const text = (await readUpTo(await send(request, urlOf(key, { uploadId }), headers, signal), 1 << 16)).toString();
    // This request answers 200 before it knows whether it fails.
    const failure = /<Error>.*<Message>([^<]*)/s.exec(text)?.[1];
    if (failure !== undefined) throw new RemoteCacheError(`s3://${place.bucket}/${key}: ${failure}`);
  }

  /** Copies an object onto itself, which makes it new. */
  async function touch(key: string, signal: AbortSignal): Promise<void> {
    const headers = {
      'content-type': 'application/octet-stream',
      'x-amz-copy-source': `${place.bucket}/${key.split('/').map(encode).join('/')}`,
      'x-amz-metadata-directive': 'REPLACE',
      'x-amz-meta-updated-at': new Date().toISOString(),
    };
    await discard(await send({ method: 'PUT', accept: [200] }, urlOf(key, { 'x-id': 'CopyObject' }), headers, signal));
  }

  const keyOf = ({ digest }: Pick<Descriptor, 'digest'>) => place.blobs + digest;
  const look = async (blob: Pick<Descriptor, 'digest'>, signal: AbortSignal) => {
    const answer = await send({ method: 'HEAD', accept: [200, 404] }, urlOf(keyOf(blob)), {}, signal);
    await discard(answer);
    return answer.status === 200 ? answer : undefined;
  };

  return {
    parallelism: place.parallelism,
    async documents(signal) {
      const [name = 'buildkit'] = place.names;
      const url = urlOf(place.manifests + name, { 'x-id': 'GetObject' });
      const answer = await send({ method: 'GET', accept: [200, 404] }, url, {}, signal);
      if (answer.status === 200) return [await readUpTo(answer, largestDocument)];
      await discard(answer);
      return [];
    },
    async *open(blob, offset, signal) {
      const range: Record<string, string> = offset === 0 ? {} : { range: `bytes=${offset}-` };
      const url = urlOf(keyOf(blob), { 'x-id': 'GetObject' });
      const answer = await send({ method: 'GET', accept: [offset === 0 ? 200 : 206] }, url, range, signal);
      yield* answer.body;
    },
    mayHave: () => true,
    has: async (blob, signal) => (await look(blob, signal)) !== undefined,
    async putLayer(layer, show, signal) {
      const key = keyOf(layer);
      const { size } = layer.descriptor;
      const there = await look(layer, signal);
      if (there === undefined) {
        await show(() => (size < multipartFrom ? put(key, layer, signal) : putInParts(key, layer, signal)));
        return;
      }
      const written = Date.parse(headerOf(there, 'last-modified') ?? '');
      if (Date.now() - written > place.touchRefresh && size < mostCopied) await touch(key, signal);
    },
    async putDocument(bytes, signal) {
      for (const name of place.names) await put(place.manifests + name, bytes, signal);
    },
  };
}

async function* partsOf(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of bytes) {
    chunks.push(chunk);
    size += chunk.length;
    if (size < partSize) continue;
    yield Buffer.concat(chunks);
    chunks = [];
    size = 0;
  }
  if (size > 0) yield Buffer.concat(chunks);
}

/** Credentials of the environment, or of the profile in `~/.aws/credentials`. */
async function findCredentials(env: NodeJS.ProcessEnv): Promise<AwsCredentials> {
  const fromEnv = credentialsOf(name => env[name.toUpperCase()]);
  if (fromEnv !== undefined) return fromEnv;
  const file = env['AWS_SHARED_CREDENTIALS_FILE'] || join(env['HOME'] || homedir(), '.aws', 'credentials');
  const profile = env['AWS_PROFILE'] || 'default';
  const text = await readFile(file, 'utf8').catch(() => '');
  const values = new Map<string, string>();
  let section = '';
  for (const line of text.split('\n')) {
    section = /^\s*\[([^\]]+)\]/.exec(line)?.[1]?.trim() ?? section;
    const [, key, value] = /^\s*(aws_\w+)\s*=\s*(\S+)/.exec(line) ?? [];
    if (section === profile && key !== undefined && value !== undefined) values.set(key, value);
  }
  const fromFile = credentialsOf(name => values.get(name));
  if (fromFile !== undefined) return fromFile;
  throw new RemoteCacheError(
    'no credentials for s3 cache: give access_key_id and secret_access_key, or set $AWS_ACCESS_KEY_ID and $AWS_SECRET_ACCESS_KEY',
  );
}

function credentialsOf(value: (name: string) => string | undefined): AwsCredentials | undefined {
  const accessKeyId = value('aws_access_key_id');
  const secretAccessKey = value('aws_secret_access_key');
  const sessionToken = value('aws_session_token');
  if (!accessKeyId || !secretAccessKey) return undefined;
  return { accessKeyId, secretAccessKey, ...(sessionToken ? { sessionToken } : {}) };
}
