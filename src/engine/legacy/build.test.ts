import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createRuntime } from '../../host/runtime/runtime.ts';
import { enterPrivateMountNamespace } from '../../host/system/namespace.ts';
import { openContentStore } from '../../store/content/content-store.ts';
import { openImageStore } from '../../store/content/images.ts';
import { openDatabase } from '../../store/database.ts';
import { openLayerStore } from '../../store/snapshot/layer-store.ts';
import type { Descriptor } from '../../wire/oci/descriptor.ts';
import { hexOf } from '../../wire/oci/digest.ts';
import { hostPlatform, normalizePlatform } from '../../wire/oci/platform.ts';
import { createRegistryClient } from '../../wire/registry/client.ts';
import { runLegacyBuild } from './build.ts';
import { openLegacyContext } from './context.ts';
import { LegacyBuildError } from './error.ts';
import { type HistoryEntry, readContent } from './image.ts';
import { openImageTable } from './image-table.ts';
import type { LegacyBuildRequest, LegacyEngine } from './request.ts';

const BASE = new URL('../../../test/vectors/base-image/', import.meta.url);
const isRoot = process.getuid?.() === 0;

describe('legacy builds', { skip: isRoot ? false : 'needs root to mount' }, () => {
  const owned = new AsyncDisposableStack();
  const { signal } = new AbortController();
  let engine: LegacyEngine;
  let root: string;
  let output = '';
  let clock = 1_600_000_000_000_000_000n;

  before(async () => {
    enterPrivateMountNamespace();
    root = mkdtempSync(join(tmpdir(), 'outcrop-legacy-'));
    owned.defer(() => rmSync(root, { recursive: true, force: true }));
    const content = openContentStore(join(root, 'content'));
    const database = owned.use(openDatabase(root));
    const layers = owned.use(openLayerStore({ root, content, database }));
    const images = openImageStore(database);
    const runtime = owned.use(createRuntime({ stateDir: join(root, 'run') }));
    const registry = owned.use(createRegistryClient({ retry: { attempts: 1 } }));
    const platform = normalizePlatform(hostPlatform());
    const now = () => {
      clock += 1_000_000_001n;
      return clock;
    };
    engine = { platform, database, content, images, layers, registry, runtime, now };
    const blob = (digest: string) => readFileSync(new URL(`blobs/sha256/${digest.slice(7)}`, BASE));
    const index = JSON.parse(readFileSync(new URL('index.json', BASE), 'utf8')) as {
      manifests: (Descriptor & { annotations: Record<string, string> })[];
    };
    const entry = index.manifests.find(
      ({ annotations }) => annotations['org.opencontainers.image.ref.name'] === 'latest',
    );
    assert(entry);
    const manifest = JSON.parse(blob(entry.digest).toString()) as { config: Descriptor; layers: Descriptor[] };
    for (const { digest } of [entry, manifest.config, ...manifest.layers]) await content.write(blob(digest));
    images.put('docker.io/library/busybox:latest', entry);
  });
  after(() => owned.disposeAsync());

  type Files = Readonly<Record<string, string>>;

  async function build(dockerfile: string, files: Files = {}, changes: Partial<LegacyBuildRequest> = {}) {
    const context = mkdtempSync(join(root, 'context-'));
    chmodSync(context, 0o755);
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(context, path)), { recursive: true });
      if (text.startsWith('-> ')) symlinkSync(text.slice(3), join(context, path));
      else writeFileSync(join(context, path), text);
    }
    const request: LegacyBuildRequest = {
      context: openLegacyContext(context),
      dockerfile: Buffer.from(dockerfile),
      dockerfileName: 'Dockerfile',
      target: undefined,
      buildArgs: new Map(),
      labels: new Map(),
      tags: [],
      platform: undefined,
      noCache: false,
      cacheFrom: undefined,
      pull: false,
      rm: true,
      forceRm: false,
      run: { network: 'none', extraHosts: [], ulimits: [], cgroupParent: undefined, shmSize: undefined },
      ...changes,
    };
    output = '';
    const write = (data: string | Uint8Array) => {
      output += typeof data === 'string' ? data : Buffer.from(data).toString();
    };
    const { imageID } = await runLegacyBuild(engine, request, write, signal);
    const image = openImageTable(engine.database).get(imageID);
    assert(image);
    return { ...readContent(image), image, cached: output.split('Using cache').length - 1 };
  }

  /** What a command prints in an image made by these instructions. */
  async function printed(instructions: string, command: string, files: Files = {}): Promise<string> {
    await build(`FROM busybox\n${instructions}\nRUN ${command}\n`, files, { noCache: true });
    return (
      output
        .split(/ ---> Running in .*\n/)
        .at(-1)
        ?.split('Removing intermediate', 1)[0] ?? ''
    );
  }

  const fails = (dockerfile: string, message: string | RegExp, files: Files = {}) =>
    assert.rejects(build(dockerfile, files), (error: unknown) => {
      assert(error instanceof LegacyBuildError);
      if (typeof message === 'string') assert.equal(error.message, message);
      else assert.match(error.message, message);
      return true;
    });

  test('each step is an image on the one before, with its records', async () => {
    const { image, history, config, containerConfig, created } = await build(
      'FROM busybox\nMAINTAINER me\nENV A=1\nRUN true\nRUN echo x > /x\nWORKDIR /\nCMD ["a"]\n',
    );
    const own = history.slice(-6);
    assert.deepEqual(
      own.map(({ created_by, empty_layer, author }) => [created_by, empty_layer ?? false, author]),
      [
        ['/bin/sh -c #(nop)  MAINTAINER me', true, 'me'],
        ['/bin/sh -c #(nop)  ENV A=1', true, 'me'],
        ['/bin/sh -c true', true, 'me'],
        ['/bin/sh -c echo x > /x', false, 'me'],
        ['/bin/sh -c #(nop) WORKDIR /', true, 'me'],
        ['/bin/sh -c #(nop)  CMD ["a"]', true, 'me'],
      ],
    );
    assert.equal(created, own.at(-1)?.created);
    assert.deepEqual(config.cmd, ['a']);
    assert.deepEqual(containerConfig?.cmd, ['/bin/sh', '-c', '#(nop) ', 'CMD ["a"]']);
    const chain = openImageTable(engine.database).chain(image.id);
    assert.equal(chain.length, 7);
    const known = (entries: readonly HistoryEntry[]) => entries.length;
    assert.deepEqual(
      chain.map(step => known(readContent(step).history)),
      chain.map((_, index) => history.length - index),
    );
    const base = JSON.parse(readFileSync(new URL(`blobs/sha256/${hexOf(chain.at(-1)?.id ?? image.id)}`, BASE), 'utf8'));
    assert.equal(base.os, 'linux');
  });

  test('a step that was built once is found, on the youngest of equal parents', async () => {
    const text = 'FROM busybox\nENV FOUND=1\nRUN echo found > /f\n';
    const first = await build(text);
    assert.equal(first.cached, 0);
    assert.equal((await build(text)).image.id, first.image.id);
    const anew = await build(text, {}, { noCache: true });
    assert.notEqual(anew.image.id, first.image.id);
    assert.equal((await build(text)).image.id, anew.image.id);
  });

  test('a proxy argument changes the key of RUN once, whatever its value; declared, each value does', async () => {
    const text = 'FROM busybox\nRUN echo "p=$http_proxy"\n';
    const given = (value: string) => ({ buildArgs: new Map([['http_proxy', value]]) });
    await build(text);
    assert.equal((await build(text, {}, given('a'))).history.at(-1)?.created_by, '|0 /bin/sh -c echo "p=$http_proxy"');
    assert.match(output, /^p=a$/m);
    assert.equal((await build(text, {}, given('b'))).cached, 1);
    const declared = text.replace('RUN', 'ARG http_proxy\nRUN');
    await build(declared, {}, given('a'));
    const other = await build(declared, {}, given('b'));
    assert.equal(other.cached, 1);
    assert.equal(other.history.at(-1)?.created_by, '|1 http_proxy=b /bin/sh -c echo "p=$http_proxy"');
  });

  test('arguments before FROM are steps, name bases, and reach a stage that repeats them', async () => {
    const buildArgs = new Map([['TAG', 'latest']]);
    const text = 'ARG TAG=none\nARG NAME=busybox\nFROM $NAME:$TAG\nARG NAME\nARG TAG\nRUN echo "$NAME $TAG"\n';
    await build(text, {}, { buildArgs });
    assert.match(
      output,
      /^Step 1\/6 : ARG TAG=none\nStep 2\/6 : ARG NAME=busybox\nStep 3\/6 : FROM \$NAME:\$TAG\n ---> /,
    );
    assert.match(output, /^busybox latest$/m);
    assert.doesNotMatch(output, /not consumed/);
  });

  test('the environment of RUN has the arguments; ENV wins over ARG', async () => {
    const text = await printed('ENV B=env\nARG A=arg\nARG B=arg', 'echo "$A $B"; test -n "$HOSTNAME" && echo $HOME');
    assert.equal(text, 'arg env\n/root\n');
  });

  test('COPY from a stage goes by content, not by how the stage was built', async () => {
    const text = (stage: string) => `FROM busybox AS s\nRUN ${stage}\nFROM scratch\nCOPY --from=s /f /g\nLABEL a=1\n`;
    const first = await build(text('touch -d @0 /f; chmod 640 /f; chown 3:0 /f'));
    const second = await build(text('true; touch -d @0 /f; chmod 640 /f; chown 3:0 /f'));
    assert.equal(second.image.id, first.image.id);
    assert.equal(second.cached, 2);
    const third = await build(text('touch -d @0 /f; chmod 600 /f; chown 3:0 /f'));
    assert.equal(third.cached, 0);
  });

  test('COPY takes ownership from stages and images, and root for the context', async () => {
    const files = { f: 'f\n' };
    const stage = 'FROM busybox AS s\nRUN echo x > /x; chown 5:6 /x\n';
    await build(
      `${stage}FROM busybox\nCOPY f /f\nCOPY --from=s /x /x\nCOPY --from=0 --chown=7 /x /y\nCOPY --chown=nobody:3 f /z\nCOPY --from=busybox /etc/passwd /p\nRUN cd /; stat -c '%n %u:%g' f x y z\n`,
      files,
    );
    assert.match(output, /^f 0:0\nx 5:6\ny 7:7\nz 65534:3$/m);
  });

  test('COPY of directories: their content, replacing what is in the way', async () => {
    const files = { 'd/sub/a': 'a', 'd/b': 'b', 'd/l': '-> b', link: '-> d/b' };
    assert.equal(
      await printed(
        'RUN mkdir -p /t/b && echo old > /t/sub && echo keep > /t/kept\nCOPY d /t',
        'cd /t; find . | sort; readlink l',
        files,
      ),
      '.\n./b\n./kept\n./l\n./sub\n./sub/a\nb\n',
    );
    assert.equal(await printed('COPY link /dir/\nCOPY link /named', 'cat /dir/link /named', files), 'bb');
    assert.equal(
      await printed('WORKDIR /w\nCOPY d/* ./\nCOPY d/b ./x/y/', 'find . | sort', files),
      '.\n./a\n./b\n./l\n./x\n./x/y\n./x/y/b\n',
    );
    await fails('FROM busybox\nCOPY d /bin/sh\n', /^failed to copy files: mkdir \/bin\/\w+: not a directory$/, files);
  });

  test('ADD unpacks archives, COPY does not', async () => {
    const dir = mkdtempSync(join(root, 'archive-'));
    writeFileSync(join(dir, 'in'), '1\n');
    execFileSync('tar', ['-C', dir, '--owner=3', '--group=4', '-cf', join(dir, 't.tar'), 'in']);
    const files = { 't.tar': readFileSync(join(dir, 't.tar'), 'latin1') };
    const text = await printed('ADD t.tar /a\nCOPY t.tar /c', 'stat -c "%n %u:%g" /a/in; stat -c %F /c', files);
    assert.equal(text, '/a/in 3:4\nregular file\n');
  });

  test('a volume starts with what the image has there, and loses what a step writes', async () => {
    const text = await printed(
      'RUN mkdir -m 700 /v && echo 1 > /v/old\nVOLUME /v\nRUN echo 2 > /v/new; cat /v/*; stat -c %a /v',
      'ls /v; cat /v/old',
    );
    assert.equal(text, 'old\n1\n');
    assert.match(output, /\n2\n1\n700\n/);
  });

  test('triggers of a base run in its children, and are not theirs', async () => {
    await build('FROM busybox\nONBUILD RUN echo one\nONBUILD ENV T=1\n', {}, { tags: ['onb'] });
    const { config } = await build('FROM onb\nRUN echo "T=$T"\n');
    assert.match(output, /^# Executing 2 build triggers\n ---> Running in \w+\none\nRemoving/m);
    assert.match(output, /^T=1$/m);
    assert.deepEqual(config.onBuild, []);
    assert.equal((await build('FROM onb\nRUN echo "T=$T"\n')).cached, 3);
  });

  test('labels of the request are steps of the last stage, in order', async () => {
    const labels = new Map([
      ['b', '2 $x'],
      ['a', '1'],
    ]);
    const { config } = await build('FROM busybox AS first\nFROM busybox\n', {}, { labels });
    assert.match(output, /Step 3\/4 : LABEL a=1\n.*\n.*\n.*\nStep 4\/4 : LABEL b=2 \$x\n/);
    assert.equal(config.labels.get('b'), '2 $x');
  });

  test('an image is found by the beginning of its id', async () => {
    const { image } = await build('FROM busybox\nENV BY=id\n');
    await build(`FROM ${hexOf(image.id).slice(0, 12)}\nRUN echo "$BY"\n`);
    assert.match(output, /^id$/m);
  });

  test('a step that fails has its exit code, and its layer is dropped', async () => {
    const before = engine.layers.list().length;
    await assert.rejects(build('FROM busybox\nRUN echo x > /x; exit 7\n'), {
      name: 'LegacyBuildError',
      exitCode: 7,
      message: "The command '/bin/sh -c echo x > /x; exit 7' returned a non-zero code: 7",
    });
    assert.equal(engine.layers.list().length, before);
    await fails('FROM busybox\nUSER nobody-knows\nRUN true\n', /unable to find user nobody-knows/);
  });

  test('messages', async () => {
    await fails('', 'the Dockerfile (Dockerfile) cannot be empty');
    await fails('# nothing\n', 'failed to parse Dockerfile: file with no instructions');
    await fails('RUN true\n', 'dockerfile parse error line 1: No build stage in current context');
    await fails('FROM scratch\n', 'No image was generated. Is your Dockerfile empty?');
    await fails('FROM $X\n', 'base name ($X) should not be blank');
    await fails('FROM busybox AS a\nFROM busybox AS A\n', 'a stage name already used');
    await fails('FROM busybox\nCOPY http://x/y /z\n', "COPY failed: source can't be a URL for COPY");
    await fails('FROM busybox\nCOPY --from=0 /x /y\n', 'invalid from flag value 0: refers to current build stage');
    await fails('FROM busybox\nCOPY --from=9 /x /y\n', 'invalid from flag value 9: index out of bounds');
    await fails(
      'FROM busybox AS s\nFROM busybox\nCOPY --from=s /no/x /y\n',
      'COPY failed: stat no/x: file does not exist',
    );
    await fails(
      'FROM busybox\nHEALTHCHECK --start-interval=1s CMD x\n',
      'dockerfile parse error line 2: Unknown flag: start-interval',
    );
    await assert.rejects(build('FROM busybox\n', {}, { target: 'no' }), {
      message: 'failed to reach build target no in Dockerfile',
      isRefusal: true,
    });
  });

  test('what is pruned is no cache', async () => {
    const text = 'FROM busybox\nRUN echo pruned > /p\n';
    const { image } = await build(text);
    assert.equal((await build(text)).cached, 1);
    await engine.layers.remove([image.layers.at(-1) ?? '']);
    assert.equal((await build(text)).cached, 0);
    assert.equal(openImageTable(engine.database).get(image.id), undefined);
  });

  test('an abort ends the step that runs, and the build with its reason', async () => {
    const controller = new AbortController();
    const context = openLegacyContext(mkdtempSync(join(root, 'context-')));
    const request = {
      context,
      dockerfile: Buffer.from('FROM busybox\nRUN echo started; sleep 1000\n'),
      dockerfileName: 'Dockerfile',
      target: undefined,
      buildArgs: new Map<string, string>(),
      labels: new Map<string, string>(),
      tags: [],
      platform: undefined,
      noCache: true,
      cacheFrom: undefined,
      pull: false,
      rm: true,
      forceRm: false,
      run: { network: 'none' as const, extraHosts: [], ulimits: [], cgroupParent: undefined, shmSize: undefined },
    };
    const write = (data: string | Uint8Array) => {
      if (Buffer.from(data).toString() === 'started\n') controller.abort();
    };
    await assert.rejects(runLegacyBuild(engine, request, write, controller.signal), { name: 'AbortError' });
  });
});
