/** Downloads what ADD names by URL. */
import { once } from 'node:events';
import { chmodSync, createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { setTimes } from '../../host/system/inode.ts';
import { systemPath, toBytePath } from '../../wire/fsutil/byte-path.ts';
import { hexOf } from '../../wire/oci/digest.ts';
import { type AccountNames, accountNames } from './account-names.ts';
import type { FoundSource, SourceFiles } from './copy-sources.ts';
import { LegacyBuildError, messageOf } from './error.ts';
import { legacyRecords, plainTree } from './file-hash.ts';

/** How much of an answer that is no success is shown, in bytes. */
const SHOWN_BODY = 1024;
const UNNAMED = '__unnamed__';

export function isUrl(source: string): boolean {
  return /^https?:\/\//.test(source);
}

/**
 * Downloads a file into an empty directory and hashes it there.
 * @param destination Where ADD puts it: a directory needs a file name, which then has to follow from the URL.
 * @throws LegacyBuildError
 */
export async function downloadSource(
  url: string,
  destination: string,
  directory: string,
  signal: AbortSignal,
): Promise<FoundSource> {
  const answer = await get(url, signal);
  const name = fileName(url, answer.headers.get('content-disposition'));
  if (name === undefined && destination.endsWith('/')) {
    await answer.body?.cancel();
    throw new LegacyBuildError(`cannot determine filename for source ${url}`);
  }
  const path = join(directory, name ?? UNNAMED);
  await save(answer, path, signal);
  const modified = Date.parse(answer.headers.get('last-modified') ?? '');
  const time = BigInt(Number.isNaN(modified) ? 0 : modified) * 1_000_000n;
  setTimes(systemPath(toBytePath(path)), time, time);
  return foundFile(directory, name ?? UNNAMED, accountNames(), signal);
}

async function foundFile(
  directory: string,
  name: string,
  names: AccountNames,
  signal: AbortSignal,
): Promise<FoundSource> {
  const tree = plainTree(directory);
  const records = legacyRecords(tree, names);
  const files: SourceFiles = { tree, records, copy: { tree, records }, isContext: false };
  const node = tree.child(tree.root, toBytePath(name));
  if (node === undefined) throw new LegacyBuildError(`stat ${name}: file does not exist`);
  await records.ensure([node], signal);
  return { path: name, node, hash: hexOf(records.get(node)), files, isDownload: true };
}

async function get(url: string, signal: AbortSignal): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(url, { signal, headers: { 'user-agent': 'outcrop' } });
  } catch (cause) {
    signal.throwIfAborted();
    const reason = cause instanceof Error && cause.cause !== undefined ? cause.cause : cause;
    throw new LegacyBuildError(`Get ${JSON.stringify(url)}: ${messageOf(reason)}`, { cause });
  }
  if (answer.ok) return answer;
  const body = Buffer.from(await answer.arrayBuffer()).subarray(0, SHOWN_BODY);
  throw new LegacyBuildError(
    `failed to GET ${url} with status ${answer.status} ${answer.statusText}: ${body.toString('utf8')}`,
  );
}

async function save(answer: Response, path: string, signal: AbortSignal): Promise<void> {
  const file = createWriteStream(path, { flags: 'wx', mode: 0o600, signal });
  for await (const chunk of answer.body ?? []) {
    if (!file.write(chunk)) await once(file, 'drain', { signal });
  }
  file.end();
  await once(file, 'close', { signal });
  chmodSync(path, 0o600);
}

/** The last part of the URL's path, else of what the server says. */
function fileName(url: string, disposition: string | null): string | undefined {
  const path = new URL(url).pathname;
  const own = path.endsWith('/') ? '' : decoded(path.slice(path.lastIndexOf('/') + 1));
  const said =
    /filename="?([^";]+)"?/
      .exec(disposition ?? '')?.[1]
      ?.split('/')
      .at(-1) ?? '';
  const name = own || said;
  return name === '' || name === '.' || name === '..' || name.includes('/') ? undefined : name;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
