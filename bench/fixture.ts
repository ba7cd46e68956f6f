import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, cpSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/** Text that compresses about as well as source code does, different for each `seed`. */
function words(length: number, seed: number): Buffer {
  const vocabulary = Array.from({ length: 997 }, (_, index) => `${(index * 7919 + seed).toString(36)} `);
  let state = seed + 1;
  let text = '';
  while (text.length < length) {
    state = (state * 1103515245 + 12345) % 2147483648;
    text += vocabulary[state % vocabulary.length];
  }
  return Buffer.from(text.slice(0, length));
}

/** A tree of `count` small files in folders of 100. */
export function writeSmallFiles(dir: string, count: number): void {
  const contents = Array.from({ length: 64 }, (_, seed) => words(200 + seed * 61, seed));
  for (let index = 0; index < count; index++) {
    const folder = join(dir, `d${Math.floor(index / 100)}`);
    if (index % 100 === 0) mkdirSync(folder, { recursive: true });
    writeFileSync(
      join(folder, `f${index}.txt`),
      Buffer.concat([Buffer.from(`${index}\n`), contents[index % 64] ?? Buffer.of()]),
    );
  }
}

/** A file of `megabytes` MiB, three quarters text and one quarter noise. */
export function writeLargeFile(path: string, megabytes: number): void {
  const file = openSync(path, 'w');
  for (let index = 0; index < megabytes; index++) {
    writeSync(file, index % 4 === 3 ? randomBytes(1 << 20) : words(1 << 20, index));
  }
  closeSync(file);
}

/** An OCI layout with one image, a static busybox, tag `latest`; built by `outcrop` itself. Returns its path. */
export function busyboxLayout(work: string, outcrop: readonly string[]): string {
  const root = join(work, 'busybox');
  const layout = join(work, 'busybox-layout');
  mkdirSync(join(root, 'bin'), { recursive: true });
  for (const dir of ['dev', 'etc', 'proc', 'sys', 'tmp']) mkdirSync(join(root, dir), { recursive: true });
  cpSync(
    execFileSync('sh', ['-c', 'readlink -f "$(command -v busybox)"'], { encoding: 'utf8' }).trim(),
    join(root, 'bin/busybox'),
  );
  for (const applet of ['sh', 'echo', 'true', 'cat', 'ls'])
    execFileSync('ln', ['-sf', 'busybox', join(root, 'bin', applet)]);
  writeFileSync(join(root, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\n');
  writeFileSync(join(root, 'Dockerfile'), 'FROM scratch\nCOPY bin /bin\nCOPY etc /etc\nCMD ["sh"]\n');
  const [command = '', ...args] = outcrop;
  execFileSync(
    command,
    [
      ...args,
      'build',
      '--progress=quiet',
      '-t',
      'busybox:latest',
      '--output',
      `type=oci,dest=${layout},tar=false`,
      root,
    ],
    {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: { ...process.env, OUTCROP_ROOT: join(work, 'fixture-root') },
    },
  );
  return layout;
}
