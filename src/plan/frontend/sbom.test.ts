import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOf } from '../../wire/oci/digest.ts';
import { MountType } from '../../wire/proto/gen/pb/ops_pb.ts';
import { loadDefinition } from '../llb/load.ts';
import { planDockerfile } from './plan-dockerfile.ts';
import { recordedHost } from './testing-host.ts';

const { signal } = new AbortController();

const DOCKERFILE = `
FROM base AS build
ARG BUILDKIT_SBOM_SCAN_STAGE=true
COPY a /a
FROM build AS tools
FROM scratch
ARG BUILDKIT_SBOM_SCAN_CONTEXT=true
COPY --from=tools /a /a
`;

async function plan(options: Readonly<Record<string, string>>, scannerConfig: object = { Cmd: ['scan', '-v'] }) {
  const host = recordedHost({
    buildPlatform: 'linux/amd64',
    sessionID: 's',
    image(ref) {
      const config = ref.includes('scanner')
        ? { Entrypoint: ['/bin/sh'], Env: ['PATH=/bin', 'A=b'], WorkingDir: '/w', ...scannerConfig }
        : {};
      const image = { architecture: 'amd64', os: 'linux', config, rootfs: { type: 'layers', diff_ids: ['sha256:1'] } };
      return { digest: digestOf(ref), config: Buffer.from(JSON.stringify(image)) };
    },
    file: (_, path) => (path === 'Dockerfile' ? Buffer.from(DOCKERFILE) : undefined),
  });
  const { platforms } = await planDockerfile(host, new Map(Object.entries(options)), signal);
  const [first] = platforms;
  const graph = first?.sbom && loadDefinition(first.sbom);
  return { graph, requests: host.requests };
}

test('nobody scans unless asked to', async () => {
  assert.equal((await plan({})).graph, undefined);
});

test('the scanner that was asked for sees the result, what the Dockerfile adds, and what it was told', async () => {
  const { graph, requests } = await plan({ 'attest:sbom': 'generator=my/scanner,deep=yes' });
  assert.ok(requests.some(({ ref }) => ref === 'docker.io/my/scanner:latest'));
  const { vertex, output } = graph?.head ?? assert.fail('no graph');
  assert.equal(vertex.name, '[linux/amd64] generating sbom using docker.io/my/scanner:latest');
  assert.ok(vertex.op.op.case === 'exec');
  const { meta, mounts } = vertex.op.op.value;
  assert.deepEqual(meta?.args, ['/bin/sh', 'scan', '-v']);
  assert.equal(meta?.cwd, '/w');
  assert.deepEqual(meta?.env, [
    'PATH=/bin',
    'A=b',
    'BUILDKIT_SCAN_DESTINATION=/run/out/',
    'BUILDKIT_SCAN_SOURCE=/run/src/core/sbom',
    'BUILDKIT_SCAN_SOURCE_EXTRAS=/run/src/extras',
    'BUILDKIT_SCAN_deep=yes',
  ]);
  assert.deepEqual(
    mounts.map(({ dest, readonly, mountType }) => [dest, readonly, mountType]),
    [
      ['/', false, MountType.BIND],
      ['/run/out/', false, MountType.BIND],
      ['/run/src/core/sbom', true, MountType.BIND],
      ['/run/src/extras/sbom-build', true, MountType.BIND],
      ['/run/src/extras/sbom-context', true, MountType.BIND],
      ['/run/src/extras/sbom-tools', true, MountType.BIND],
      ['/tmp', false, MountType.TMPFS],
    ],
  );
  assert.equal(mounts.find(({ dest }) => dest === '/run/out/')?.output, BigInt(output));
  assert.equal(vertex.metadata?.ignoreCache, false);
});

test('a stage that ignores the cache is scanned anew', async () => {
  const { graph } = await plan({ 'attest:sbom': 'generator=my/scanner', 'no-cache': 'tools' });
  assert.equal(graph?.head.vertex.metadata?.ignoreCache, true);
});

test('BuildKit’s scanner is the default, and one without a command is none', async () => {
  const { requests } = await plan({ 'attest:sbom': '' });
  assert.ok(requests.some(({ ref }) => ref === 'docker.io/docker/buildkit-syft-scanner:stable-1'));
  await assert.rejects(plan({ 'attest:sbom': 'generator=' }), /sbom generator cannot be empty/);
  await assert.rejects(
    plan({ 'attest:sbom': 'generator=my/scanner' }, { Entrypoint: null, Cmd: null }),
    /scanner docker\.io\/my\/scanner:latest does not have cmd/,
  );
});
