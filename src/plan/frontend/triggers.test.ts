import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOf } from '../../wire/oci/digest.ts';
import { type DockerfilePlan, planDockerfile } from './plan-dockerfile.ts';
import { recordedHost } from './testing-host.ts';

/** Plans `dockerfile` where every image leaves `triggers`; tells how many configs were looked up. */
async function plan(dockerfile: string, triggers: readonly string[]): Promise<[DockerfilePlan, number]> {
  const config = JSON.stringify({ os: 'linux', architecture: 'amd64', config: { OnBuild: triggers } });
  const host = recordedHost({
    buildPlatform: 'linux/amd64',
    sessionID: 's',
    image: () => ({ digest: digestOf(config), config: Buffer.from(config) }),
    file: (_, path) => (path === 'Dockerfile' ? Buffer.from(dockerfile) : undefined),
  });
  return [await planDockerfile(host, new Map(), AbortSignal.timeout(60_000)), host.requests.length];
}

test('an image whose trigger reads the image itself is not read without end', async () => {
  const [{ platforms }, requests] = await plan('FROM y\nRUN x\n', ['COPY --from=y a b']);
  assert.equal(platforms.length, 1);
  assert.equal(requests, 1);
});
