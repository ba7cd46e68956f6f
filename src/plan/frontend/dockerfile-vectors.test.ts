import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { digestOf } from '../../wire/oci/digest.ts';
import { DockerfileError } from '../dockerfile/error.ts';
import { renderErrorSource } from '../dockerfile/source-block.ts';
import { planDockerfile } from './plan-dockerfile.ts';
import { answerRequest } from './request/answer-request.ts';
import { recordedHost } from './testing-host.ts';

const FOLDER = new URL('../../../test/vectors/dockerfile/', import.meta.url);

interface PlanningCase {
  readonly opts?: Readonly<Record<string, string>>;
  readonly context?: Readonly<Record<string, string>>;
  readonly dockerfileName?: string;
  readonly dockerfileContext?: Readonly<Record<string, string>>;
  readonly images?: Readonly<Record<string, unknown>>;
}

function world(dockerfile: Uint8Array, given: PlanningCase) {
  const name = given.dockerfileName ?? 'Dockerfile';
  const host = recordedHost({
    buildPlatform: 'linux/amd64',
    sessionID: 'session000000000000000001',
    image: ref => {
      const image = given.images?.[ref];
      const config = JSON.stringify(image);
      return image === undefined ? undefined : { digest: digestOf(config), config: Buffer.from(config) };
    },
    file: (identifier, path) => {
      if (identifier === 'local://dockerfile' && path === name) return dockerfile;
      const text = (identifier === 'local://dockerfile' ? given.dockerfileContext : given.context)?.[path];
      return text === undefined ? undefined : Buffer.from(text);
    },
  });
  return { host, options: new Map(Object.entries({ filename: name, ...given.opts })) };
}

function plan(dockerfile: Uint8Array, given: PlanningCase) {
  const { host, options } = world(dockerfile, given);
  return planDockerfile(host, options, AbortSignal.timeout(10_000));
}

interface ConfigCase extends PlanningCase {
  readonly name: string;
  readonly dockerfile: string;
  readonly expect: { readonly config: unknown; readonly history: readonly unknown[]; readonly author?: string };
}

const { cases }: { cases: readonly ConfigCase[] } = JSON.parse(readFileSync(new URL('config.json', FOLDER), 'utf8'));

test(`planning leaves the image config that BuildKit leaves: ${cases.length} of ${cases.length} configs`, async t => {
  for (const given of cases) {
    await t.test(given.name, async () => {
      const { platforms } = await plan(Buffer.from(given.dockerfile), given);
      const image = JSON.parse(platforms[0]?.imageConfig ?? '{}');
      assert.deepEqual(image.config, given.expect.config);
      const before = JSON.parse(platforms[0]?.baseImageConfig ?? '{}').history?.length ?? 0;
      const history = (image.history ?? [])
        .slice(before)
        .map(({ created_by, empty_layer = false }: Readonly<Record<string, unknown>>) => ({ created_by, empty_layer }));
      assert.deepEqual(history, given.expect.history);
      assert.equal(image.author, given.expect.author);
    });
  }
});

interface ErrorCase extends PlanningCase {
  readonly message: string;
  readonly sources: readonly { readonly block: string }[];
}

const errors = vectorNames('errors/');

test(`what cannot be planned fails as in BuildKit: ${errors.length} of ${errors.length} errors`, async t => {
  for (const name of errors) {
    await t.test(name, async () => {
      const dockerfile = readFileSync(new URL(`errors/${name}.Dockerfile`, FOLDER));
      const given: ErrorCase = JSON.parse(readFileSync(new URL(`errors/${name}.json`, FOLDER), 'utf8'));
      await assert.rejects(plan(dockerfile, given), (error: unknown) => {
        assert.ok(error instanceof Error);
        assert.equal(error.message, given.message);
        const blocks =
          error instanceof DockerfileError
            ? renderErrorSource(given.dockerfileName ?? 'Dockerfile', dockerfile.toString(), error)
            : '';
        assert.equal(blocks, given.sources.map(({ block }) => block).join(''));
        return true;
      });
    });
  }
});

interface LintCase extends PlanningCase {
  readonly warnings: readonly unknown[];
  readonly buildError?: unknown;
  readonly text: string;
  readonly status: number;
}

const checks = vectorNames('lint/');

test(`a check finds what BuildKit finds: ${checks.length} of ${checks.length} checks`, async t => {
  for (const name of checks) {
    await t.test(name, async () => {
      const dockerfile = readFileSync(new URL(`lint/${name}.Dockerfile`, FOLDER));
      const given: LintCase = JSON.parse(readFileSync(new URL(`lint/${name}.json`, FOLDER), 'utf8'));
      const { json, text, metadata } = await answer('frontend.lint', dockerfile, given);
      assert.deepEqual(json.warnings ?? [], given.warnings);
      assert.deepEqual(json.buildError, given.buildError);
      assert.equal(text, given.text);
      assert.equal(metadata.get('result.statuscode'), String(given.status));
    });
  }
});

interface OutlineCase extends PlanningCase {
  readonly outline: { readonly json: unknown; readonly text: string };
  readonly targets: { readonly json: unknown; readonly text: string };
}

const outlines = vectorNames('outline/');

test(`parameters and targets are listed as in BuildKit: ${outlines.length} of ${outlines.length} files`, async t => {
  for (const name of outlines) {
    await t.test(name, async () => {
      const dockerfile = readFileSync(new URL(`outline/${name}.Dockerfile`, FOLDER));
      const given: OutlineCase = JSON.parse(readFileSync(new URL(`outline/${name}.json`, FOLDER), 'utf8'));
      for (const what of ['outline', 'targets'] as const) {
        const { json, text } = await answer(`frontend.${what}`, dockerfile, given);
        const { sources, ...rest } = json;
        assert.deepEqual(rest, given[what].json);
        assert.equal(text, given[what].text);
        assert.deepEqual(sources, [dockerfile.toString('base64')]);
      }
    });
  }
});

async function answer(request: string, dockerfile: Uint8Array, given: PlanningCase) {
  const { host, options } = world(dockerfile, given);
  options.set('requestid', request);
  const { metadata } = await answerRequest(host, options, AbortSignal.timeout(10_000));
  return { json: JSON.parse(metadata.get('result.json') ?? ''), text: metadata.get('result.txt'), metadata };
}

function vectorNames(folder: string): string[] {
  return readdirSync(new URL(folder, FOLDER)).flatMap(file =>
    file.endsWith('.json') ? [file.slice(0, -'.json'.length)] : [],
  );
}
