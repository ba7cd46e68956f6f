/** The same inputs give the same image, wherever and whenever they are built, when the time is given. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { baseContext } from '../support/base-image.ts';
import { outcrop } from '../support/cli.ts';
import { workDirectory } from '../support/work-directory.ts';

const EPOCH = '1700000000';
const FILE = `FROM base AS build
RUN mkdir /out && echo made > /out/made && ln -s made /out/link && echo x > /root/.x
FROM base
COPY --from=build /out /out/
COPY --chmod=640 dir /dir/
COPY --link dir/a.txt /linked/
RUN rm -r /tmp && echo changed > /etc/motd
WORKDIR /new/place
`;
const skip = process.getuid?.() === 0 ? false : 'needs root to run steps';
const work = workDirectory('reproducible');

interface Form {
  readonly dockerfile?: string;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** Builds on a new root, from a context whose files have other times each time; returns the image's digest. */
async function digest(name: string, { dockerfile = FILE, args = [], env = {} }: Form): Promise<string> {
  const place = join(work, name);
  const context = join(place, 'context');
  mkdirSync(join(context, 'dir/sub'), { recursive: true });
  for (const path of ['dir/a.txt', 'dir/sub/b.txt']) {
    writeFileSync(join(context, path), path);
    utimesSync(join(context, path), new Date(), new Date(Date.now() - Math.random() * 1e9));
  }
  writeFileSync(join(context, 'Dockerfile'), dockerfile);
  const metadata = join(place, 'metadata.json');
  const output = `type=oci,rewrite-timestamp=true,dest=${join(place, 'image.tar')}`;
  const flags = ['--progress=plain', '--build-context', baseContext(), '--metadata-file', metadata];
  const { code, stderr } = await outcrop(
    ['build', ...flags, '--output', output, '--provenance=false', ...args, context],
    {
      root: join(place, 'root'),
      env,
    },
  );
  assert.equal(code, 0, stderr);
  return JSON.parse(readFileSync(metadata, 'utf8'))['containerimage.digest'];
}

test('every form of SOURCE_DATE_EPOCH gives one digest, on any root and at any time', { skip }, async () => {
  const forms: Readonly<Record<string, Form>> = {
    environment: { env: { SOURCE_DATE_EPOCH: EPOCH } },
    again: { env: { SOURCE_DATE_EPOCH: EPOCH } },
    argument: { args: ['--build-arg', `SOURCE_DATE_EPOCH=${EPOCH}`] },
    file: { dockerfile: `ARG SOURCE_DATE_EPOCH=${EPOCH}\n${FILE}` },
    'argument over all': {
      dockerfile: `ARG SOURCE_DATE_EPOCH=1\n${FILE}`,
      args: ['--build-arg', `SOURCE_DATE_EPOCH=${EPOCH}`],
      env: { SOURCE_DATE_EPOCH: '2' },
    },
  };
  const digests: Record<string, string> = {};
  for (const [name, form] of Object.entries(forms)) digests[name] = await digest(name, form);
  assert.deepEqual(new Set(Object.values(digests)).size, 1, JSON.stringify(digests, undefined, 2));
  assert.notEqual(await digest('other', { env: { SOURCE_DATE_EPOCH: '1700000001' } }), digests['environment']);
});

test('a step for a platform that the machine does not run says what to install', { skip }, async () => {
  const context = join(work, 'foreign');
  mkdirSync(context);
  writeFileSync(join(context, 'program'), Buffer.concat([Buffer.from('\x7fELF'), Buffer.alloc(400)]), { mode: 0o755 });
  writeFileSync(join(context, 'Dockerfile'), 'FROM scratch\nCOPY program /program\nRUN ["/program"]\n');
  const run = await outcrop(['build', '--progress=plain', '--platform=linux/mips64le', context], {
    root: join(work, 'foreign-root'),
  });
  assert.equal(run.code, 1);
  assert.match(run.stderr, /exec \/program: exec format error/);
  assert.match(run.stderr, /the step is for linux\/mips64le, which this machine does not run: install QEMU for it/);
});
