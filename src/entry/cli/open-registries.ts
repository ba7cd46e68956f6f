import { type BuildkitdConfig, DEFAULT_REGISTRY_HOST, loadBuildkitdConfig } from '../../host/config/buildkitd-toml.ts';
import { credentialsFor, loadDockerConfig } from '../../host/config/docker-config.ts';
import { createRegistryClient, type RegistryClient } from '../../wire/registry/client.ts';

/** Registries with the configuration and the credentials of this machine, for commands that need no engine. */
interface OpenRegistries extends AsyncDisposable {
  /** The client for a host; `insecure`: plain HTTP will do, and certificates are not checked. */
  readonly registryFor: (host: string, insecure: boolean) => RegistryClient;
}

/** @throws when `buildkitd.toml` cannot be used */
export async function openRegistries(): Promise<OpenRegistries> {
  const config = await loadBuildkitdConfig(process.env);
  const stack = new AsyncDisposableStack();
  const clients = new Map<string, RegistryClient>();
  return {
    registryFor(host, insecure) {
      const name = insecure ? host : '';
      const client = clients.get(name) ?? stack.use(openClient(config, insecure ? host : undefined));
      clients.set(name, client);
      return client;
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

function openClient({ registries }: BuildkitdConfig, insecureHost: string | undefined): RegistryClient {
  const hosts = new Map(registries);
  if (insecureHost !== undefined) {
    const known = registries.get(insecureHost) ?? DEFAULT_REGISTRY_HOST;
    hosts.set(insecureHost, { ...known, insecure: true, http: true });
  }
  return createRegistryClient({
    hosts,
    credentials: async (host, signal) => credentialsFor(await loadDockerConfig(process.env), host, signal),
  });
}
