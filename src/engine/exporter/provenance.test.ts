import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { DockerfilePlan } from '../../plan/frontend/plan-dockerfile.ts';
import { planDockerfile } from '../../plan/frontend/plan-dockerfile.ts';
import { recordedHost } from '../../plan/frontend/testing-host.ts';
import { loadDefinition } from '../../plan/llb/load.ts';
import { type Digest, isDigest } from '../../wire/oci/digest.ts';
import { goJson } from '../../wire/oci/go-json.ts';
import { statement } from './attestation.ts';
import {
  IncompleteMaterialsError,
  metadataProvenance,
  type ProvenanceInput,
  provenanceAttestation,
  provenancePredicate,
  provenanceType,
  requireCompleteMaterials,
} from './provenance.ts';
import { captureProvenance } from './provenance-capture.ts';
import { DEFAULT_PROVENANCE, parseProvenanceOptions } from './provenance-options.ts';

const folder = new URL('../../../test/vectors/images/', import.meta.url);
const files = readdirSync(folder).filter(name => name.endsWith('.json'));

interface ImageCase {
  readonly name: string;
  readonly dockerfile: string;
  readonly buildArgs: Readonly<Record<string, string>>;
  readonly args: readonly string[];
  readonly output: string;
  readonly metadataFile: Readonly<Record<string, unknown>>;
  readonly documents: Readonly<Record<string, string>>;
}

interface Provenance {
  readonly invocation: { readonly parameters: { readonly args: Readonly<Record<string, string>> } };
}

const BASE: Digest = 'sha256:1f32f400f8ccc9718593c9aeeee538cea4174befd8a6db60e4ee7998fafc2735';
const IMAGE_CONFIG = {
  architecture: 'amd64',
  os: 'linux',
  config: { Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'], Cmd: ['sh'], WorkingDir: '/' },
  rootfs: { type: 'layers', diff_ids: ['sha256:15bd7ba145a8a54c2506f3753e84dd5c5fcc18324d1d2dedbf6abd5c1652ee7d'] },
  history: [],
};

function readCase(file: string): ImageCase {
  return JSON.parse(readFileSync(new URL(file, folder), 'utf8'));
}

/** What buildx sends for a case; random ids of layouts are taken from the answer. */
function optionsOf(given: ImageCase, recorded: Provenance): Map<string, string> {
  const options = new Map([['filename', 'Dockerfile']]);
  for (const [name, value] of Object.entries(given.buildArgs)) options.set(`build-arg:${name}`, value);
  for (const [index, arg] of given.args.entries()) {
    const value = given.args[index + 1] ?? '';
    const equals = value.indexOf('=');
    if (arg === '--platform') options.set('platform', value);
    if (arg === '--label') options.set(`label:${value.slice(0, equals)}`, value.slice(equals + 1));
    if (arg.startsWith('--provenance=mode')) options.set('attest:provenance', arg.slice('--provenance='.length));
  }
  for (const [name, value] of Object.entries(recorded.invocation.parameters.args)) {
    if (name.startsWith('context:'))
      options.set(name, value).set('frontend.caps', 'moby.buildkit.frontend.contexts+forward');
  }
  return options;
}

/** Plans a case, and gathers its provenance as an engine does. */
async function inputsOf(
  given: ImageCase,
  recorded: Provenance,
): Promise<{ plan: DockerfilePlan; inputs: Map<string, ProvenanceInput> }> {
  const host = recordedHost({
    buildPlatform: 'linux/amd64',
    sessionID: 'session',
    image: ref => {
      const digest = /@(.*)$/.exec(ref)?.[1] ?? BASE;
      return isDigest(digest) ? { digest, config: Buffer.from(JSON.stringify(IMAGE_CONFIG)) } : undefined;
    },
    file: (_, path) => (path === 'Dockerfile' ? Buffer.from(given.dockerfile) : undefined),
  });
  const options = optionsOf(given, recorded);
  const plan = await planDockerfile(host, options, AbortSignal.timeout(10_000));
  const resolved = host.requests.map(({ ref, platform, ociLayout }) => {
    const digest = /@(.*)$/.exec(ref)?.[1] ?? BASE;
    assert.ok(isDigest(digest));
    return { ref, digest, local: ociLayout !== undefined, ...(platform && { platform }) };
  });
  const graphs = host.solved.map(definition => loadDefinition(definition));
  const inputs = plan.platforms.map(({ id, platform, definition }): [string, ProvenanceInput] => [
    plan.isMultiPlatform ? id : '',
    {
      call: { frontend: 'dockerfile.v0', options },
      root: { frontend: '', options },
      capture: captureProvenance({
        graphs: [...graphs, loadDefinition(definition)],
        resolved,
        pins: new Map(),
        ...(plan.isMultiPlatform
          ? { platforms: { all: plan.platforms.map(one => one.platform), current: platform } }
          : {}),
      }),
      definition,
      layers: [],
      builderPlatform: 'linux/amd64',
      dockerfileVersion: '1.26.0-dev',
      builderId: '',
      reproducible: false,
      invocationId: '3gr92kpiyu9eaqnmvv43y7xck',
      startedAt: 1795490336573096681n,
      finishedAt: 1795490336965981183n,
    },
  ]);
  return { plan, inputs: new Map(inputs) };
}

const KEY = 'buildx.build.provenance';

function provenancesOf(given: ImageCase): [platform: string, text: string][] {
  return Object.entries(given.metadataFile).flatMap(([key, value]): [string, string][] =>
    key === KEY || key.startsWith(`${KEY}/`) ? [[key.slice(KEY.length + 1), goJson(value)]] : [],
  );
}

async function attestedInput(): Promise<ProvenanceInput> {
  const given = readCase('13-attested.json');
  const [[, text = ''] = []] = provenancesOf(given);
  const input = (await inputsOf(given, JSON.parse(text))).inputs.get('');
  assert.ok(input);
  const base = {
    mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
    digest: 'sha256:67314d5d675033faa78796281e40a7429276ff543da10a3608f57809e328b663',
    size: 1068769,
    annotations: { 'containerd.io/uncompressed': 'sha256:15bd' },
  } as const;
  const copied = {
    mediaType: 'application/vnd.oci.image.layer.v1.tar',
    digest: 'sha256:64ff4ebc5e745bb5a12570e69245c17b9525b03b34ef136c41087ac53aff8e92',
    size: 2048,
  } as const;
  const vertices = loadDefinition(input.definition).vertices.map(({ digest }) => digest);
  const copy = { vertex: vertices[2] ?? '', output: 0, chain: [base, copied] };
  return { ...input, layers: [{ vertex: vertices[0] ?? '', output: 0, chain: [base] }, copy, copy] };
}

test(`metadata files tell the provenance of a build: ${files.length} of ${files.length} images`, async t => {
  let told = 0;
  for (const file of files) {
    const given = readCase(file);
    const expected = provenancesOf(given);
    assert.ok(expected.length > 0);
    const { inputs } = await inputsOf(given, JSON.parse(expected[0]?.[1] ?? ''));
    assert.equal(inputs.size, expected.length, given.name);
    for (const [platform, text] of expected) {
      const input = inputs.get(platform);
      assert.ok(input, `${given.name} ${platform}`);
      assert.equal(metadataProvenance(input), text, `${given.name} ${platform}`);
      told++;
    }
  }
  t.diagnostic(`${told} of ${told} platforms`);
});

/** The ops of local sources, and all that use them, hold the id of the session, so their digests differ from run to run. */
function withoutSessions(text: string): string {
  return text.replace(/"digestMapping":\{([^}]*)\}/g, (_, members: string) => {
    const steps = [...members.matchAll(/"(sha256:[0-9a-f]{64})":"(step\d+)"/g)].map(([, , step]) => step);
    return `"digestMapping":${JSON.stringify(steps.sort())}`;
  });
}

test('a statement with mode max is the recorded one, but for the digests that hold the session', async () => {
  const given = readCase('13-attested.json');
  const expected = Object.values(given.documents).find(text => text.includes('"predicateType"'));
  const predicate = provenancePredicate(await attestedInput(), { mode: 'max', version: 'v1' });
  const sha256 = '91728f341abc98ad6a2ca78c01ba11ddb5228644cb29ad9b6d0732d0436266fd';
  const subjects = [{ name: 'pkg:docker/acme/att@1?platform=linux%2Famd64', sha256 }];
  assert.equal(withoutSessions(statement(provenanceType('v1'), predicate, subjects)), withoutSessions(expected ?? ''));
  assert.ok(predicate.includes('5583aae6f38e78db5ee5225192d7087b45cb5b51d8f34cffd84da0b720d4841b":"step0"'));
});

test('version 0.2 says the same in other places', async () => {
  const input = await attestedInput();
  const v1 = JSON.parse(provenancePredicate(input, { mode: 'max', version: 'v1' }));
  const v02 = JSON.parse(provenancePredicate(input, { mode: 'max', version: 'v0.2' }));
  assert.deepEqual(Object.keys(v02), ['builder', 'buildType', 'materials', 'invocation', 'buildConfig', 'metadata']);
  assert.deepEqual(v02.buildConfig, v1.buildDefinition.internalParameters.buildConfig);
  assert.deepEqual(v02.invocation.parameters, v1.buildDefinition.externalParameters.request);
  assert.deepEqual(Object.keys(v02.metadata), [
    'buildInvocationID',
    'buildStartedOn',
    'buildFinishedOn',
    'completeness',
    'reproducible',
    'https://mobyproject.org/buildkit@v1#metadata',
  ]);
  assert.deepEqual(v02.metadata.completeness, { parameters: true, environment: true, materials: false });
});

test('mode min leaves out arguments, labels, steps and layers', async () => {
  const options = new Map([
    ['build-arg:A', '1'],
    ['label:b', '2'],
    ['target', 'app'],
    ['vcs:source', 'https://user:secret@example.org/x.git'],
    ['vcs:revision', 'abc'],
  ]);
  const input = await attestedInput();
  const capture = { ...input.capture, secrets: [{ id: 'token', optional: true }] };
  const asked: ProvenanceInput = { ...input, call: { frontend: 'dockerfile.v0', options }, capture };
  const { root: _, ...direct } = asked;
  const min = JSON.parse(provenancePredicate(direct, { mode: 'min', version: 'v1' }));
  const { request } = min.buildDefinition.externalParameters;
  assert.deepEqual(request.args, { target: 'app' });
  assert.equal(request.secrets, undefined);
  assert.equal(request.root, undefined);
  assert.deepEqual(min.buildDefinition.internalParameters, {
    builderPlatform: 'linux/amd64',
    dockerfileVersion: '1.26.0-dev',
  });
  assert.deepEqual(min.runDetails.metadata.buildkit_metadata, {
    vcs: { revision: 'abc', source: 'https://xxxxx:xxxxx@example.org/x.git' },
  });
  assert.deepEqual(min.runDetails.metadata.buildkit_completeness, { request: false, resolvedDependencies: false });
  const max = JSON.parse(provenancePredicate(direct, { mode: 'max', version: 'v1' }));
  assert.deepEqual(max.buildDefinition.externalParameters.request.secrets, [{ id: 'token', optional: true }]);
});

test('a git context is the source of the Dockerfile, and complete without directories', async () => {
  const input = await attestedInput();
  const commit = 'abc123def456abc123def456abc123def456abcd';
  const options = new Map([
    ['context', 'https://user:pw@example.org/app.git?branch=main&subdir=src'],
    ['filename', 'Dockerfile'],
    ['platform', 'linux/arm64'],
  ]);
  const git = [{ url: 'https://xxxxx:xxxxx@example.org/app.git#refs/heads/main', commit }];
  const capture = { ...input.capture, git, locals: [] };
  const told = JSON.parse(
    provenancePredicate(
      { ...input, call: { frontend: 'dockerfile.v0', options }, capture },
      { mode: 'min', version: 'v1' },
    ),
  );
  const { configSource, request } = told.buildDefinition.externalParameters;
  assert.deepEqual(configSource, {
    uri: 'https://xxxxx:xxxxx@example.org/app.git#refs/heads/main:src',
    digest: { sha1: commit },
    path: 'Dockerfile',
  });
  assert.equal(request.args, undefined);
  assert.equal(told.runDetails.metadata.buildkit_hermetic, true);
  assert.doesNotThrow(() => requireCompleteMaterials(capture));
  assert.throws(() => requireCompleteMaterials(input.capture), IncompleteMaterialsError);
});

test('provenance as exporters attach it', async () => {
  const input = await attestedInput();
  const options = parseProvenanceOptions(`${DEFAULT_PROVENANCE},builder-id=me,reproducible=true,version=v0.2`);
  assert.ok(options);
  const attestation = provenanceAttestation(options, input.capture, async () => input);
  const predicate = JSON.parse(await attestation.predicate(AbortSignal.timeout(1000)));
  assert.equal(attestation.predicateType, 'https://slsa.dev/provenance/v0.2');
  assert.equal(attestation.inlineOnly, true);
  assert.deepEqual(predicate.builder, { id: 'me' });
  assert.equal(predicate.metadata.reproducible, true);
  const complete = { ...options, completeMaterials: true };
  assert.throws(() => provenanceAttestation(complete, input.capture, async () => input), IncompleteMaterialsError);
});

test('a statement may be about something else than what the exporter makes, or have one more name for it', () => {
  const defaults = [{ name: 'a', sha256: '1' }];
  const subjectsOf = (text: string) => JSON.parse(text).subject;
  const raw = { kind: 'raw', name: 'f', digest: { sha512: '2' } } as const;
  assert.deepEqual(subjectsOf(statement('t', 'null', defaults)), [{ name: 'a', digest: { sha256: '1' } }]);
  assert.deepEqual(subjectsOf(statement('t', 'null', defaults, [{ kind: 'self', name: 'b' }, raw])), [
    { name: 'a', digest: { sha256: '1' } },
    { name: 'b', digest: { sha256: '1' } },
    { name: 'f', digest: { sha512: '2' } },
  ]);
});
