import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { digestOf } from '../../wire/oci/digest.ts';
import { DockerfileError } from '../dockerfile/error.ts';
import { warningJson } from '../dockerfile/lint/check-result.ts';
import { renderErrorSource } from '../dockerfile/source-block.ts';
import { checkDockerfile, planDockerfile } from './plan-dockerfile.ts';
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

const errors = readdirSync(new URL('errors/', FOLDER)).flatMap(file =>
  file.endsWith('.json') ? [file.slice(0, -'.json'.length)] : [],
);

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
  readonly warnings: readonly { readonly ruleName: string }[];
  readonly buildError?: { readonly message: string };
}

const checks = readdirSync(new URL('lint/', FOLDER)).flatMap(file =>
  file.endsWith('.json') ? [file.slice(0, -'.json'.length)] : [],
);

test(`a check finds what BuildKit finds: ${checks.length} of ${checks.length} checks`, async t => {
  for (const name of checks) {
    await t.test(name, async () => {
      const dockerfile = readFileSync(new URL(`lint/${name}.Dockerfile`, FOLDER));
      const given: LintCase = JSON.parse(readFileSync(new URL(`lint/${name}.json`, FOLDER), 'utf8'));
      const { host, options } = world(dockerfile, given);
      const { warnings, error } = await checkDockerfile(host, options, AbortSignal.timeout(10_000));
      assert.deepEqual(warnings.map(warningJson), given.warnings);
      assert.equal(error?.message, given.buildError?.message);
    });
  }
});
