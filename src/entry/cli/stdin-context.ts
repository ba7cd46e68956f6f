import { spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { UsageError } from './errors.ts';

/** All of standard input. @throws UsageError when it is a terminal. */
export async function readStandardInput(): Promise<Uint8Array> {
  if (process.stdin.isTTY)
    throw new UsageError('standard input is a terminal; pipe a Dockerfile or a tar archive into it');
  const chunks: Uint8Array[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk);
  return Buffer.concat(chunks);
}

const MAGICS: readonly (readonly number[])[] = [
  [0x1f, 0x8b],
  [0x42, 0x5a, 0x68],
  [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00],
  [0x28, 0xb5, 0x2f, 0xfd],
];

/** Whether bytes are a tar archive, as they are or compressed. */
export function isTar(data: Uint8Array): boolean {
  if (MAGICS.some(magic => magic.every((byte, index) => data[index] === byte))) return true;
  if (data.length < 512) return false;
  const stored = Number.parseInt(
    Buffer.from(data.subarray(148, 156))
      .toString('latin1')
      .replace(/[\0 ]+$/g, ''),
    8,
  );
  let sum = 8 * 32;
  for (let index = 0; index < 512; index++) if (index < 148 || index >= 156) sum += data[index] ?? 0;
  return sum === stored;
}

/**
 * Unpacks a tar archive into a temporary directory that is removed when the process ends.
 * @throws UsageError when it cannot be read as one.
 */
export async function unpackContext(data: Uint8Array): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'outcrop-context-'));
  process.once('exit', () => rmSync(dir, { recursive: true, force: true }));
  const tar = spawn('tar', ['-x', ...compressionFlag(data), '-C', dir, '--no-same-owner', '-f', '-'], {
    stdio: ['pipe', 'ignore', 'pipe'],
  });
  const complaints: Uint8Array[] = [];
  tar.stderr.on('data', chunk => complaints.push(chunk));
  tar.stdin.on('error', () => undefined);
  tar.stdin.end(data);
  const code = await new Promise<number | null>((done, failed) => tar.once('error', failed).once('close', done));
  if (code !== 0) {
    await rm(dir, { recursive: true, force: true });
    throw new UsageError(
      `the archive on standard input cannot be unpacked: ${Buffer.concat(complaints).toString().trim()}`,
    );
  }
  return dir;
}

function compressionFlag(data: Uint8Array): string[] {
  const index = MAGICS.findIndex(magic => magic.every((byte, at) => data[at] === byte));
  return index < 0 ? [] : [['-z', '-j', '-J', '--zstd'][index] ?? ''];
}
