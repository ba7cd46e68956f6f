/** A cache in GitHub's cache service (remote-cache facts, section 15). */

import { setTimeout as delay } from 'node:timers/promises';
import { parseGoBool } from '../../../wire/go-bool.ts';
import { digestOf, hexOf } from '../../../wire/oci/digest.ts';
import { type AttributeReader, CacheOptionsError } from './attributes.ts';
import { RemoteCacheError } from './content-place.ts';
import { type ActionsEntry, actionsService } from './gha-service.ts';
import type { ObjectHttp } from './object-http.ts';
import type { ObjectWriter } from './object-place.ts';

export interface GhaPlace {
  readonly type: 'gha';
  /** A name beside others in the same repository. */
  readonly name: string;
  readonly url: URL;
  readonly version: 1 | 2;
  readonly token: string;
  /** The refs that the token reads, those that it also writes last. */
  readonly scopes: readonly { readonly scope: string; readonly canWrite: boolean }[];
}

const versionOneHost = 'results-receiver.actions.githubusercontent.com';
/** How long an export waits for another one that saves the same number, in milliseconds. */
const mutablePatience = 15_000;
const mutablePause = 2000;
const canWriteBit = 2;

/**
 * Reads the attributes of `type=gha`; what is missing is in the environment of every GitHub action.
 *
 * @returns a reason where the service is not at hand: outside of actions the cache is left out, as buildx does.
 * @throws CacheOptionsError
 */
export function readGhaPlace(read: AttributeReader, env: NodeJS.ProcessEnv, now: Date): GhaPlace | string {
  const asked = read.text('version') ?? (parseGoBool(env['ACTIONS_CACHE_SERVICE_V2'] ?? '') ? '2' : undefined);
  if (asked !== undefined && asked !== '1' && asked !== '2') {
    throw new CacheOptionsError(`cache with type gha: version is 1 or 2, not ${asked}`);
  }
  const second =
    asked === '1' ? undefined : (read.text('url_v2') ?? (asked === '2' ? env['ACTIONS_RESULTS_URL'] : undefined));
  const first = read.text('url') ?? (env['ACTIONS_CACHE_URL'] || env['ACTIONS_RESULTS_URL']);
  const url = second || first;
  if (!url) return 'cache with type gha requires url parameter to be set';
  if (!URL.canParse(url)) throw new CacheOptionsError(`cache with type gha: ${url} is no URL`);
  const token = read.text('token') ?? env['ACTIONS_RUNTIME_TOKEN'];
  if (!token) return 'cache with type gha requires token parameter or $ACTIONS_RUNTIME_TOKEN';
  const version = second || asked === '2' || (asked === undefined && url.includes(versionOneHost)) ? 2 : 1;
  const scopes = readScopes(token, now);
  return { type: 'gha', name: read.text('scope') ?? 'buildkit', url: new URL(url), version, token, scopes };
}

/** The scopes in a token, which is not verified: the service does that. */
function readScopes(token: string, now: Date): GhaPlace['scopes'] {
  const fail = (reason: string) => new CacheOptionsError(`failed to configure gha cache exporter: ${reason}`);
  const parts = token.split('.');
  if (parts.length !== 3) throw fail('token is malformed: token contains an invalid number of segments');
  let claims: { readonly ac?: unknown; readonly exp?: unknown; readonly nbf?: unknown };
  let entries: readonly { readonly Scope?: unknown; readonly Permission?: unknown }[];
  try {
    claims = JSON.parse(Buffer.from(parts[1] ?? '', 'base64url').toString());
    entries = typeof claims.ac === 'string' ? JSON.parse(claims.ac) : [];
  } catch (cause) {
    throw fail(`token is malformed: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
  const seconds = now.getTime() / 1000;
  if (typeof claims.exp === 'number' && claims.exp < seconds) throw fail('token is expired');
  if (typeof claims.nbf === 'number' && claims.nbf > seconds) throw fail('token is not valid yet');
  return entries.flatMap(({ Scope: scope, Permission: permission }) =>
    typeof scope === 'string' && typeof permission === 'number'
      ? [{ scope, canWrite: (permission & canWriteBit) !== 0 }]
      : [],
  );
}

/** Reads and writes the cache of a repository. */
export function ghaWriter(place: GhaPlace, http: ObjectHttp): ObjectWriter {
  const service = actionsService(place, http);
  const blobKey = (digest: string) => `buildkit-blob-1-${digest}`;
  const indexKey = (scope: string) => `index-${place.name}-1-${hexOf(digestOf(scope)).slice(0, 8)}`;
  const found = new Map<string, Promise<ActionsEntry | undefined>>();

  /** Looks a blob up; `anew` after its URL ran out. */
  function blob(digest: string, signal: AbortSignal, anew = false): Promise<ActionsEntry | undefined> {
    const known = anew ? undefined : found.get(digest);
    if (known !== undefined) return known;
    const key = blobKey(digest);
    const asked = service.find(key, signal).then(entry => (entry?.key === key ? entry : undefined));
    found.set(digest, asked);
    asked.catch(() => found.delete(digest));
    return asked;
  }

  async function* open(digest: string, offset: number, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    for (const anew of [false, true]) {
      const entry = await blob(digest, signal, anew);
      if (entry === undefined) throw new RemoteCacheError(`${blobKey(digest)}: not found`);
      let isStarted = false;
      try {
        for await (const chunk of service.download(entry, offset, signal)) {
          isStarted = true;
          yield chunk;
        }
        return;
      } catch (error) {
        signal.throwIfAborted();
        if (isStarted || anew || !/answered 40[13]/.test(String(error))) throw error;
      }
    }
  }

  async function readAll(entry: ActionsEntry, signal: AbortSignal): Promise<Buffer> {
    const chunks: Uint8Array[] = [];
    for await (const chunk of service.download(entry, 0, signal)) chunks.push(chunk);
    return Buffer.concat(chunks);
  }

  return {
    parallelism: 1,
    async documents(signal) {
      const documents = await Promise.all(
        place.scopes.map(async ({ scope }) => {
          const entry = await service.find(indexKey(scope), signal);
          return entry === undefined ? [] : [await readAll(entry, signal)];
        }),
      );
      return documents.flat();
    },
    open: ({ digest }, offset, signal) => open(digest, offset, signal),
    mayHave: () => true,
    has: async ({ digest }, signal) => (await blob(digest, signal)) !== undefined,
    async putLayer({ digest, descriptor, open: bytes }, show, signal) {
      if ((await blob(digest, signal, true)) !== undefined) return;
      const upload = { size: descriptor.size, open: () => bytes(0, signal) };
      // That somebody else saves it meanwhile is as good.
      await show(async () => void (await service.save(blobKey(digest), upload, signal)));
    },
    async putDocument(bytes, signal) {
      const writable = place.scopes.findLast(({ canWrite }) => canWrite);
      const prefix = `${indexKey(writable?.scope ?? '')}#`;
      const upload = {
        size: bytes.length,
        open: async function* () {
          yield bytes;
        },
      };
      // Entries cannot be overwritten: each export takes the next number.
      let skipped = 0;
      let since = Date.now();
      for (;;) {
        const last = await service.find(prefix, signal);
        if (last !== undefined && (await readAll(last, signal)).equals(bytes)) return;
        if ((await service.find(prefix, signal))?.key !== last?.key) continue;
        const number = (Number(last?.key.slice(prefix.length)) || 0) + 1 + skipped;
        if (await service.save(`${prefix}${number}`, upload, signal)) return;
        if (Date.now() - since >= mutablePatience) {
          // Whoever reserved that number died.
          skipped++;
          since = Date.now();
          continue;
        }
        await delay(mutablePause, undefined, { signal });
      }
    },
  };
}
