import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { parseContainerConfig } from './container-config.ts';
import { openLegacyContext } from './context.ts';
import { contextHash, type PredictedStep, predictOutcomes, predictSteps } from './predict.ts';
import { readLegacyFile } from './read-file.ts';

interface RecordedBuild {
  readonly label: string;
  readonly dockerfile?: string;
  readonly files: Readonly<Record<string, string>>;
  readonly modes: Readonly<Record<string, string>>;
  readonly args: readonly string[];
  readonly exitCode: number;
  readonly stdout: string;
  readonly steps: readonly { readonly instruction: string; readonly usedCache: boolean }[];
}

const VECTORS = new URL('../../../test/vectors/legacy/', import.meta.url);
/** Scenarios in which every miss follows from the Dockerfile, the context and the arguments. */
const PREDICTABLE = /^(01|02|03|04|05|07|08|13|14|15)-/;
const scenarios = readdirSync(VECTORS)
  .filter(name => PREDICTABLE.test(name))
  .map(name => ({
    name,
    ...(JSON.parse(readFileSync(new URL(name, VECTORS), 'utf8')) as { builds: RecordedBuild[] }),
  }));
const root = mkdtempSync(join(tmpdir(), 'outcrop-predict-'));
after(() => rmSync(root, { recursive: true, force: true }));

const base = { Env: ['PATH=/bin'], Cmd: ['sh'] };

function contextOf({ files, modes }: Pick<RecordedBuild, 'files' | 'modes'>) {
  const dir = mkdtempSync(join(root, 'context-'));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(dir, path)), { recursive: true, mode: 0o755 });
    writeFileSync(join(dir, path), text);
    chmodSync(join(dir, path), 0o644);
  }
  for (const [path, mode] of Object.entries(modes)) chmodSync(join(dir, path), Number.parseInt(mode, 8));
  return openLegacyContext(dir).files;
}

function predict(
  build: Pick<RecordedBuild, 'files' | 'modes'> & { readonly dockerfile: string; readonly args: readonly string[] },
) {
  const values = (flag: string) =>
    new Map(
      build.args.flatMap((arg, index) => {
        const [key = '', value = ''] = arg.split('=');
        return build.args[index - 1] === flag ? [[key, value] as const] : [];
      }),
    );
  const onBuild = { OnBuild: ['COPY a.txt /onb', 'RUN echo trigger'], Volumes: { '/v': {} } };
  return predictSteps(
    readLegacyFile(Buffer.from(build.dockerfile), 'Dockerfile'),
    {
      target: undefined,
      buildArgs: values('--build-arg'),
      labels: values('--label'),
      filesHash: contextHash(contextOf(build)),
      base: async name => ({
        id: name,
        config: parseContainerConfig({ ...base, ...(name === 'lgonb' ? onBuild : {}) }),
      }),
    },
    undefined,
  );
}

const count = scenarios.reduce((sum, { builds }) => sum + builds.length, 0);
test(`what ${count} recorded builds of ${scenarios.length} scenarios took from the cache is foretold`, async () => {
  for (const { name, builds } of scenarios) {
    const built: PredictedStep[] = [];
    for (const build of builds) {
      const { dockerfile } = build;
      if (dockerfile === undefined) continue;
      const { steps } = await predict({ ...build, dockerfile });
      const outcomes = predictOutcomes(steps, built);
      // The trigger's lines count to the FROM in the vectors.
      const shown = steps.flatMap(({ lines, text }, index) => {
        const isTrigger = index > 0 && lines === steps[0]?.lines && steps[index]?.key !== undefined;
        return isTrigger ? [] : [{ text, hit: outcomes[index] === 'hit' }];
      });
      // A build that failed does not show, and did not build, the rest.
      const expected = build.steps.map(({ instruction, usedCache }) => ({ text: instruction, hit: usedCache }));
      assert.deepEqual(shown.slice(0, expected.length), expected, `${name}, ${build.label}`);
      const done = build.exitCode === 0 ? steps : steps.slice(0, expected.length - 1);
      built.push(...done);
    }
  }
});

test('a step of two stages is found the second time; what comes from a stage is told apart by how it was built', async () => {
  const text = (second: string) =>
    `FROM b AS one\nRUN same\nFROM b AS two\nRUN same\nRUN ${second}\nFROM scratch\nCOPY --from=two /x /y\nCOPY --from=b /x /z\nADD http://h/u /u\n`;
  const build = { files: {}, modes: {}, args: [] };
  const { steps: first } = await predict({ ...build, dockerfile: text('x') });
  const outcomes = predictOutcomes(first, []);
  assert.deepEqual(outcomes, [undefined, 'run', undefined, 'hit', 'run', undefined, 'run', 'run', 'run']);
  assert.deepEqual(
    first.slice(-3).map(({ standsFor }) => standsFor),
    ['stage files', 'image files', 'download'],
  );
  const { steps: second } = await predict({ ...build, dockerfile: text('y') });
  assert.deepEqual(predictOutcomes(second, first).slice(4), ['run', undefined, 'maybe', 'maybe', 'maybe']);
});

test('a step that the builder refuses ends it', async () => {
  const dockerfile = 'FROM b\nRUN one\nRUN --mount=type=cache,target=/c two\nRUN three\n';
  const { steps, failure } = await predict({ files: {}, modes: {}, args: [], dockerfile });
  assert.equal(steps.length, 2);
  assert.match(failure?.message ?? '', /^the --mount option requires BuildKit/);
  assert.equal(failure?.lines?.start, 3);
});
