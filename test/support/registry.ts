import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { startDockerRegistry } from './docker-registry.ts';

const BASE_IMAGES = new URL('../vectors/base-image/', import.meta.url);

interface BaseIndex {
  readonly manifests: readonly {
    readonly digest: string;
    readonly mediaType: string;
    readonly annotations: Readonly<Record<string, string>>;
  }[];
}

/** A registry on loopback. */
export interface TestRegistry extends AsyncDisposable {
  /** `localhost:5001`. */
  readonly address: string;
  /** Pushes the base image of `tag` of the vectors as `ref`, `library/busybox:latest`. */
  tag(ref: string, tag: string): Promise<void>;
}

/** Whether the registry program is installed. */
export function hasRegistry(): boolean {
  return spawnSync('docker-registry', ['--version'], { stdio: 'ignore' }).status === 0;
}

/** Starts Debian's `docker-registry` with the base images of the vectors under `library/busybox`. */
export async function startRegistry(): Promise<TestRegistry> {
  const server = await startDockerRegistry();
  const url = `http://${server.host}`;
  const blob = (digest: string) => readFileSync(new URL(`blobs/sha256/${digest.slice('sha256:'.length)}`, BASE_IMAGES));
  const index = JSON.parse(readFileSync(new URL('index.json', BASE_IMAGES), 'utf8')) as BaseIndex;

  const upload = async (repository: string, digest: string) => {
    const started = await fetch(`${url}/v2/${repository}/blobs/uploads/`, { method: 'POST' });
    const location = new URL(started.headers.get('location') ?? '', url);
    location.searchParams.set('digest', digest);
    await expectOk(
      fetch(location, { method: 'PUT', body: blob(digest), headers: { 'content-type': 'application/octet-stream' } }),
    );
  };
  const tag = async (ref: string, name: string) => {
    const entry = index.manifests.find(({ annotations }) => annotations['org.opencontainers.image.ref.name'] === name);
    if (!entry) throw new Error(`the base images have no tag ${name}`);
    const [repository = '', target = 'latest'] = ref.split(':');
    const manifest = JSON.parse(blob(entry.digest).toString()) as {
      config: { digest: string };
      layers: { digest: string }[];
    };
    for (const { digest } of [manifest.config, ...manifest.layers]) await upload(repository, digest);
    const body = blob(entry.digest);
    await expectOk(
      fetch(`${url}/v2/${repository}/manifests/${target}`, {
        method: 'PUT',
        body,
        headers: { 'content-type': entry.mediaType },
      }),
    );
  };
  for (const { annotations } of index.manifests) {
    const name = annotations['org.opencontainers.image.ref.name'] ?? '';
    await tag(`library/busybox:${name}`, name);
  }
  return {
    address: server.host.replace('127.0.0.1', 'localhost'),
    tag,
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

async function expectOk(answer: Promise<Response>): Promise<void> {
  const { ok, status, url } = await answer;
  if (!ok) throw new Error(`${url} answered ${status}`);
}
