import { type BuildkitdConfig, DEFAULT_REGISTRY_HOST } from '../../host/config/buildkitd-toml.ts';
import { credentialsFor, loadDockerConfig } from '../../host/config/docker-config.ts';
import { createRegistryClient, type RegistryAccess, type RegistryClient } from '../../wire/registry/client.ts';

/** Registries as `buildkitd.toml` configures them. */
export interface Registries extends AsyncDisposable {
  /** With the credentials of this machine. */
  readonly registry: RegistryClient;
  /** The client for a host; `insecure`: plain HTTP will do, and certificates are not checked. */
  readonly registryFor: (host: string, insecure: boolean) => RegistryClient;
  /**
   * A client for someone else's credentials; whoever opens it disposes it.
   * @param insecureHost a host that may be spoken to in any way
   */
  readonly openRegistry: (access: RegistryAccess, insecureHost?: string) => RegistryClient;
}

/** Opens the registries of a configuration. */
export function openRegistries(config: BuildkitdConfig): Registries {
  const stack = new AsyncDisposableStack();
  const openRegistry: Registries['openRegistry'] = (access, insecureHost) =>
    registryClient(insecureHost === undefined ? config : withInsecure(config, insecureHost), access);
  const ownAccess: RegistryAccess = {
    credentials: async (host, signal) => credentialsFor(await loadDockerConfig(process.env), host, signal),
  };
  const registry = stack.use(openRegistry(ownAccess));
  const trusting = new Map<string, RegistryClient>();
  return {
    registry,
    registryFor(host, insecure) {
      if (!insecure) return registry;
      const known = trusting.get(host) ?? stack.use(openRegistry(ownAccess, host));
      trusting.set(host, known);
      return known;
    },
    openRegistry,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** The configuration in which a host may be spoken to in any way. */
function withInsecure(config: BuildkitdConfig, host: string): BuildkitdConfig {
  const known = config.registries.get(host) ?? DEFAULT_REGISTRY_HOST;
  return { ...config, registries: new Map([...config.registries, [host, { ...known, insecure: true, http: true }]]) };
}

/** A client with the registries of the configuration; credentials are looked up when a registry asks for them. */
function registryClient(
  { registries, maxRegistryConcurrency }: BuildkitdConfig,
  access: RegistryAccess,
): RegistryClient {
  return createRegistryClient({
    hosts: registries,
    ...access,
    ...(maxRegistryConcurrency === undefined ? {} : { maxConcurrency: maxRegistryConcurrency }),
  });
}
