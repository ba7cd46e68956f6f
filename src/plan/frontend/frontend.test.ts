import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOf } from '../../wire/oci/digest.ts';
import { loadDefinition } from '../llb/index.ts';
import { type FrontendHost, OtherSourceError, type SourceTime } from './host.ts';
import { planDockerfile } from './plan-dockerfile.ts';
import { recordedHost } from './testing-host.ts';

const CONFIG = JSON.stringify({
  architecture: 'amd64',
  os: 'linux',
  rootfs: { type: 'layers', diff_ids: [`sha256:${'0'.repeat(64)}`] },
  config: { Env: ['PATH=/bin'] },
});

function hostOf(dockerfile: string, files: Readonly<Record<string, string>> = {}) {
  return recordedHost({
    buildPlatform: 'linux/amd64',
    sessionID: 'session',
    image: () => ({ digest: digestOf(CONFIG), config: Buffer.from(CONFIG) }),
    file: (_, path) => {
      const text = path === 'Dockerfile' ? dockerfile : files[path];
      return text === undefined ? undefined : Buffer.from(text);
    },
  });
}

const plan = (host: FrontendHost, options: Readonly<Record<string, string>> = {}) =>
  planDockerfile(host, new Map(Object.entries(options)), AbortSignal.timeout(20_000));

test('each step knows the instruction that it comes from', async () => {
  const { platforms } = await plan(
    hostOf('FROM alpine AS a\nRUN one \\\n  two\nFROM scratch\nCOPY --link --from=a /x /x\n'),
  );
  const [platform] = platforms;
  assert.ok(platform);
  const names = new Map(loadDefinition(platform.definition).vertices.map(({ digest, name }) => [digest, name]));
  assert.deepEqual(
    platform.steps.map(({ stage, lines, text, digest }) => [stage, lines.start, lines.end, text, names.get(digest)]),
    [
      ['a', 2, 3, 'RUN one   two', '[a 2/2] RUN one   two'],
      ['stage-1', 5, 5, 'COPY --link --from=a /x /x', '[stage-1 1/1] COPY --link --from=a /x /x'],
    ],
  );
});

test('an image is looked up once for all stages, one that nothing needs not at all', async () => {
  const host = hostOf('FROM alpine AS a\nRUN x\nFROM unneeded\nFROM alpine\nCOPY --from=a /x /x\n');
  await plan(host);
  assert.deepEqual(
    host.requests.map(({ ref }) => ref),
    ['docker.io/library/alpine:latest'],
  );
});

test('warnings belong to the step that loaded the file', async () => {
  const host = hostOf('FROM alpine\nWORKDIR app\n');
  const { warnings, dockerfile } = await plan(host, { platform: 'linux/amd64,linux/arm64' });
  assert.deepEqual(
    warnings.map(({ rule }) => rule.name),
    ['WorkdirRelativePath'],
  );
  const [definition] = host.solved;
  assert.ok(definition);
  assert.equal(dockerfile.vertex, loadDefinition(definition).head.vertex.digest);
});

test('a plan that fails stops what it still waits for', async () => {
  let aborted = false;
  const host: FrontendHost = {
    ...hostOf('FROM slow AS a\nFROM broken\nCOPY --from=a /x /x\n'),
    resolveImageConfig: ({ ref }, signal) =>
      new Promise((_, reject) => {
        if (ref.includes('broken')) reject(new Error('no such image'));
        signal.addEventListener('abort', () => {
          aborted = true;
          reject(signal.reason);
        });
      }),
  };
  await assert.rejects(plan(host), { name: 'DockerfileError', message: 'broken: no such image' });
  assert.equal(aborted, true);
});

test('a cancelled plan rejects with the reason', async () => {
  const abort = new AbortController();
  const host: FrontendHost = {
    ...hostOf('FROM slow\n'),
    resolveImageConfig: (_, signal) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason));
        abort.abort(new Error('stop'));
      }),
  };
  await assert.rejects(planDockerfile(host, new Map(), abort.signal), { message: 'stop' });
});

test('SOURCE_DATE_EPOCH may name what the time is taken from', async () => {
  const dockerfile =
    'FROM scratch AS src\nARG V=1\nADD https://example.com/v$V.tar /\nFROM scratch\nWORKDIR /w\nENV A=1\n';
  const asked: string[] = [];
  const hostWith = (time: SourceTime): FrontendHost => ({
    ...hostOf(dockerfile),
    resolveSourceTime: async ({ identifier, logName }) => {
      asked.push(`${identifier} ${logName}`);
      return time;
    },
  });
  const epochOf = async (time: SourceTime, value: string) =>
    (await plan(hostWith(time), { 'build-arg:SOURCE_DATE_EPOCH': value })).platforms[0]?.sourceDateEpoch;
  assert.equal(await epochOf({ changed: 1_700_000_000 }, 'src'), 1_700_000_000);
  assert.equal(await epochOf({ newestFile: async () => 5 }, 'src'), 5);
  assert.equal(await epochOf({}, 'src'), undefined);
  assert.equal(await epochOf({ changed: 1 }, 'context'), undefined);
  assert.deepEqual(
    [...new Set(asked)],
    ['https://example.com/v1.tar [internal] resolve SOURCE_DATE_EPOCH source stage src'],
  );
  await assert.rejects(epochOf({}, 'unknown'), { message: 'invalid SOURCE_DATE_EPOCH: unknown' });
  await assert.rejects(epochOf({}, '99999999999999'), { message: 'invalid SOURCE_DATE_EPOCH: 99999999999999' });
});

test('a named context that cannot be is refused', async () => {
  const cases: readonly (readonly [string, string])[] = [
    ['nothing', 'invalid context specifier nothing for base'],
    ['ftp://x', 'unsupported context source ftp for base'],
    ['git:x', 'invalid git context git:x'],
    ['input:x', 'invalid input x for base'],
    ['oci-layout://store', 'oci-layout reference "store" has no digest'],
  ];
  for (const [value, message] of cases) {
    await assert.rejects(plan(hostOf('FROM base\n'), { 'context:base': value }), { name: 'DockerfileError', message });
  }
});

test('a named context of an OCI layout asks its store, whatever tag is written with it', async () => {
  const digest = `sha256:${'1'.repeat(64)}`;
  for (const tag of ['', ':latest']) {
    const stores: unknown[] = [];
    const host = hostOf('FROM base\nCOPY --from=base /x /x\n');
    const { platforms } = await plan(
      {
        ...host,
        resolveImageConfig: (query, signal) => {
          stores.push(query.ociLayout?.store);
          return host.resolveImageConfig({ ...query, ref: 'base' }, signal);
        },
      },
      { 'context:base': `oci-layout://store${tag}@${digest}` },
    );
    const sources = loadDefinition(platforms[0]?.definition ?? assert.fail()).vertices.flatMap(({ op: { op } }) =>
      op.case === 'source' ? [`${op.value.identifier} ${op.value.attrs['oci.store']}`] : [],
    );
    assert.deepEqual(new Set(stores), new Set(['store']));
    assert.deepEqual(sources, [`oci-layout://docker.io/library/base@${digest} store`]);
  }
});

test('a named context is what a policy puts in the place of its image', async () => {
  const host: FrontendHost = {
    ...hostOf('FROM scratch\nCOPY --from=base /x /x\n'),
    async resolveImageConfig({ ref }) {
      throw new OtherSourceError(ref, 'local://other');
    },
  };
  const { platforms } = await plan(host, { 'context:base': 'docker-image://alpine' });
  const [platform] = platforms;
  assert.ok(platform);
  const sources = loadDefinition(platform.definition).vertices.flatMap(({ op: { op } }) =>
    op.case === 'source' ? [op.value.identifier] : [],
  );
  assert.deepEqual(sources, ['local://other']);
  await assert.rejects(plan({ ...host, ...hostOf('FROM alpine\n'), resolveImageConfig: host.resolveImageConfig }), {
    message:
      /ref mutated by policy to non-image: docker-image:\/\/docker\.io\/library\/alpine:latest -> local:\/\/other/,
  });
});

test('a file that is not there is told by its name', async () => {
  await assert.rejects(plan(hostOf('', {}), { filename: 'Other' }), {
    name: 'BuildContextError',
    message: 'failed to read dockerfile: open Other: no such file or directory',
  });
  const { dockerfile } = await plan(
    recordedHost({
      buildPlatform: 'linux/amd64',
      sessionID: 's',
      image: () => undefined,
      file: (_, path) => (path === 'dockerfile' ? Buffer.from('FROM scratch\n') : undefined),
    }),
  );
  assert.equal(dockerfile.filename, 'Dockerfile');
});

test('500 stages of 10 instructions are planned in proportion', async () => {
  const stages = (count: number) =>
    Array.from({ length: count }, (_, i) => {
      const instructions = Array.from({ length: 10 }, (_one, k) => `RUN echo ${i} ${k}\n`).join('');
      return `FROM ${i === 0 ? 'alpine' : `s${i - 1}`} AS s${i}\n${instructions}`;
    }).join('');
  const time = async (count: number) => {
    const start = performance.now();
    const { platforms } = await plan(hostOf(stages(count)));
    assert.equal(platforms[0]?.definition.def.length, count * 10 + 2);
    return performance.now() - start;
  };
  await time(50);
  const small = await time(100);
  const large = await time(500);
  // Five times the work; a machine that is busy with other things is given some room.
  assert.ok(large < 25 * small + 1000, `${small} ms, then ${large} ms`);
});
