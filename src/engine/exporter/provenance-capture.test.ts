import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planDockerfile } from '../../plan/frontend/plan-dockerfile.ts';
import { recordedHost } from '../../plan/frontend/testing-host.ts';
import { loadDefinition } from '../../plan/llb/load.ts';
import { parsePlatform } from '../../wire/oci/platform.ts';
import { captureProvenance, pinOfKey } from './provenance-capture.ts';
import { listMaterials } from './provenance-materials.ts';

const COMMIT = 'abc123def456abc123def456abc123def456abcd';
const DIGEST = `sha256:${'11'.repeat(32)}` as const;

const CONFIG = { architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [DIGEST] } };

async function graphOf(dockerfile: string) {
  const host = recordedHost({
    buildPlatform: 'linux/amd64',
    sessionID: 'session',
    image: () => ({ digest: DIGEST, config: Buffer.from(JSON.stringify(CONFIG)) }),
    file: (_, path) => (path === 'Dockerfile' ? Buffer.from(dockerfile) : undefined),
  });
  const { platforms } = await planDockerfile(host, new Map(), AbortSignal.timeout(10_000));
  const [platform] = platforms;
  assert.ok(platform);
  return loadDefinition(platform.definition);
}

test('sources, secrets and agents of a graph', async () => {
  const graph = await graphOf(`FROM alpine
ADD https://user:pw@example.org/a.txt /a
ADD https://example.org/app.git#main /app
COPY x /x
RUN --mount=type=secret,id=token --mount=type=secret,id=needed,required=true --mount=type=ssh true
RUN --mount=type=secret,id=token,required=true true
`);
  const pins = new Map<string, string>();
  for (const { digest, op } of graph.vertices) {
    const identifier = op.op.case === 'source' ? op.op.value.identifier : '';
    if (identifier.startsWith('git://')) pins.set(digest, COMMIT);
    if (identifier.startsWith('https://')) pins.set(digest, DIGEST);
  }
  const capture = captureProvenance({ graphs: [graph, graph], resolved: [], pins });
  const { locals, secrets, ssh, networkAccess, incomplete } = capture;
  assert.deepEqual(listMaterials(capture), [
    {
      uri: `pkg:docker/alpine@latest?digest=${DIGEST}&platform=linux%2Famd64`,
      digest: { sha256: DIGEST.slice('sha256:'.length) },
    },
    { uri: 'https://example.org/app.git#main', digest: { sha1: COMMIT } },
    { uri: 'https://xxxxx:xxxxx@example.org/a.txt', digest: { sha256: DIGEST.slice('sha256:'.length) } },
  ]);
  assert.deepEqual(
    { locals, secrets, ssh, networkAccess, incomplete },
    {
      locals: ['context'],
      secrets: [
        { id: 'GIT_AUTH_HEADER', optional: true },
        { id: 'GIT_AUTH_TOKEN', optional: true },
        { id: 'needed', optional: false },
        { id: 'token', optional: false },
      ],
      ssh: [{ id: 'default', optional: true }],
      networkAccess: true,
      incomplete: false,
    },
  );
  // A source whose content is not known cannot be told.
  assert.equal(captureProvenance({ graphs: [graph], resolved: [], pins: new Map() }).incomplete, true);
});

test('steps without a network', async () => {
  const graph = await graphOf('FROM alpine\nRUN --network=none true\n');
  const capture = captureProvenance({ graphs: [graph], resolved: [], pins: new Map() });
  assert.equal(capture.networkAccess, false);
  assert.equal(capture.incomplete, false);
});

test('images that were looked up for all platforms count for their own', () => {
  const of = (platform: string) => ({ ref: 'docker.io/library/a:1', local: false, platform: parsePlatform(platform) });
  const both = [of('linux/amd64'), of('linux/arm64')];
  const all = both.map(({ platform }) => platform);
  const platforms = { all, current: parsePlatform('linux/arm64') };
  const imagesOf = (resolved: typeof both) =>
    captureProvenance({ graphs: [], resolved, pins: new Map(), platforms }).images;
  assert.deepEqual(imagesOf(both), [of('linux/arm64')]);
  assert.deepEqual(imagesOf([of('linux/amd64')]), [of('linux/amd64')]);
});

test('blobs and bundles', () => {
  const materials = {
    images: [],
    blobs: [{ ref: `example.org/a/b@${DIGEST}`, digest: DIGEST, local: true }],
    git: [
      { url: 'https://example.org/x.git#main', commit: COMMIT, bundle: `docker-image+blob://example.org/r@${DIGEST}` },
    ],
    http: [],
  };
  assert.deepEqual(
    listMaterials(materials).map(({ uri }) => uri),
    [
      `pkg:oci/example.org/a/b?digest=${DIGEST}&ref_type=blob`,
      'https://example.org/x.git#main',
      'pkg:docker/example.org/r@latest?ref_type=bundle&vcs_url=https:%2F%2Fexample.org%2Fx.git%23main',
    ],
  );
});

test('what a source resolved to stands in the parts of its key', () => {
  assert.equal(pinOfKey([{ kind: 'image', name: 'docker.io/library/a:1', value: DIGEST }]), DIGEST);
  assert.equal(pinOfKey([{ kind: 'image', name: 'layers', value: DIGEST }]), undefined);
  assert.equal(pinOfKey([{ kind: 'git', name: 'https://example.org/a.git', value: 'abc' }]), 'abc');
  assert.equal(pinOfKey([{ kind: 'exec', name: 'args', value: 'true' }]), undefined);
});
