/**
 * Instructions in all their forms: the images are those that BuildKit built of the same inputs, byte for byte, the output
 * of steps and the errors are the same (test/vectors/language). All builds run in this process, side by side.
 */
import assert from 'node:assert/strict';
import {
  chmodSync,
  lutimesSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { BuildError, type Builder } from '../../src/entry/builder/builder.ts';
import { openEmbeddedBuilder } from '../../src/entry/builder/embedded.ts';
import { type BuildFlags, buildRequest } from '../../src/entry/cli/build-request.ts';
import { BASE_IMAGES, baseContext } from '../support/base-image.ts';
import { outputsByStep } from '../support/step-output.ts';

interface FileCase {
  readonly text?: string;
  readonly base64?: string;
  readonly link?: string;
  readonly mode?: string;
}

interface LanguageCase {
  readonly name: string;
  readonly dockerfile: string;
  readonly files: Readonly<Record<string, FileCase>>;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly expect: {
    readonly manifests?: readonly string[];
    readonly logs?: Readonly<Record<string, readonly string[]>>;
    readonly error?: string;
  };
}

const work = mkdtempSync(join(tmpdir(), 'outcrop-language-'));
// Before anything asynchronous runs: threads would stay outside of the private mount namespace.
const builder = openEmbeddedBuilder({ root: join(work, 'root') });
const second = openEmbeddedBuilder({ root: join(work, 'second-root') });
after(async () => {
  await builder[Symbol.asyncDispose]();
  await second[Symbol.asyncDispose]();
  rmSync(work, { recursive: true, force: true });
});

const OUTPUT = 'type=oci,compression=uncompressed,force-compression=true,rewrite-timestamp=true,tar=false';
const { epochOfFiles, cases }: { readonly epochOfFiles: number; readonly cases: readonly LanguageCase[] } = JSON.parse(
  readFileSync(new URL('../vectors/language/cases.json', import.meta.url), 'utf8'),
);

function layOut({ dockerfile, files }: LanguageCase, dir: string): void {
  const all: Readonly<Record<string, FileCase>> = { ...files, Dockerfile: { text: dockerfile } };
  for (const [path, { text, base64, link, mode }] of Object.entries(all)) {
    const file = join(dir, path);
    mkdirSync(dirname(file), { recursive: true });
    if (link !== undefined) symlinkSync(link, file);
    else writeFileSync(file, base64 === undefined ? (text ?? '') : Buffer.from(base64, 'base64'));
    if (mode !== undefined) chmodSync(file, Number.parseInt(mode, 8));
  }
  for (const path of readdirSync(dir, { recursive: true, encoding: 'utf8' })) {
    lutimesSync(join(dir, path), epochOfFiles, epochOfFiles);
  }
}

/** The flags of a case as the command line reads them, paths below its own directory. */
function flagsOf({ args }: LanguageCase, dir: string, dest: string): BuildFlags {
  const lists: Record<string, string[]> = {
    'build-arg': [],
    'build-context': [baseContext(), baseContext('layer', 'baselayer')],
    platform: [],
    label: [],
    secret: [],
    'add-host': [],
  };
  const single: Record<string, string> = {};
  for (let i = 0; i < args.length; i += 2) {
    const name = args[i]?.slice('--'.length) ?? '';
    const value = (args[i + 1] ?? '')
      .replace('{{base}}', BASE_IMAGES)
      .replace(/(?<=src=)/, `${dir}/`)
      .replace(/^(loc|st)=/, `$1=${dir}/`);
    const list = lists[name];
    if (list) list.push(value);
    else single[name] = value;
  }
  const { target, 'shm-size': shmSize } = single;
  return {
    buildArg: lists['build-arg'] ?? [],
    buildContext: lists['build-context'] ?? [],
    platform: lists['platform'] ?? [],
    label: lists['label'] ?? [],
    secret: lists['secret'] ?? [],
    addHost: lists['add-host'] ?? [],
    ...(target === undefined ? {} : { target }),
    ...(shmSize === undefined ? {} : { shmSize }),
    output: [`${OUTPUT},dest=${dest}`],
    annotation: [],
    ssh: [],
    allow: [],
    call: 'build',
    tag: [],
    attest: [],
    cache: true,
    noCacheFilter: [],
    cacheFrom: [],
    cacheTo: [],
    network: 'default',
    ulimit: [],
    progress: 'none',
  };
}

for (const { env } of cases) {
  const { SOURCE_DATE_EPOCH, ...others } = env ?? {};
  Object.assign(process.env, others);
}

/** Builds a case and compares it with what BuildKit made of it. */
async function check(given: LanguageCase, place: string, on: Builder): Promise<void> {
  const dir = join(place, 'context');
  const dest = join(place, 'layout');
  layOut(given, dir);
  const request = await buildRequest(dir, flagsOf(given, dir, dest));
  const steps = outputsByStep();
  const { manifests, logs = {}, error } = given.expect;
  const epoch = given.env?.['SOURCE_DATE_EPOCH'];
  const build = on.build(
    { ...request, ...(epoch === undefined ? {} : { sourceDateEpoch: epoch }) },
    steps.note,
    AbortSignal.timeout(60_000),
  );
  if (error !== undefined) {
    await assert.rejects(build, (failure: unknown) => {
      assert.ok(failure instanceof BuildError);
      const said = `failed to solve: ${failure.message}`.replace(/checksum of ref \S+/, 'checksum of ref X');
      assert.equal(said, error);
      return true;
    });
    return;
  }
  await build;
  assert.deepEqual(manifestsOf(dest), manifests);
  for (const [name, lines] of Object.entries(logs)) {
    const output = steps.outputOf(name);
    // A step that another case ran already prints nothing.
    // Which of a step's two streams is read first is a matter of chance.
    if (output !== '') assert.deepEqual(output.replace(/\n$/, '').split('\n').sort(), [...lines].sort(), name);
  }
}

interface Index {
  readonly manifests: readonly { readonly digest: string; readonly mediaType: string }[];
}

function manifestsOf(layout: string): string[] {
  const read = (path: string): Index => JSON.parse(readFileSync(join(layout, path), 'utf8'));
  return read('index.json').manifests.flatMap(({ digest, mediaType }) =>
    mediaType.includes('index')
      ? read(`blobs/${digest.replace(':', '/')}`).manifests.map(inner => inner.digest)
      : [digest],
  );
}

test(`images, output and errors are BuildKit's: ${cases.length} of ${cases.length} builds`, {
  concurrency: 4,
}, async t => {
  await Promise.all(cases.map(given => t.test(given.name, () => check(given, join(work, given.name), builder))));
});

test('a second root makes the same images', { concurrency: 4 }, async t => {
  const names = new Set([
    'run-heredoc',
    'copy-link',
    'workdir',
    'cache-basic',
    'mp-build',
    'onbuild-stage',
    'add-archives',
  ]);
  const again = cases.filter(({ name }) => names.has(name));
  await Promise.all(
    again.map(given => t.test(given.name, () => check(given, join(work, `again-${given.name}`), second))),
  );
});
