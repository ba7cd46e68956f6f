import type { RegistryAccess, RegistryClient } from '../../wire/registry/client.ts';

/** The client for a host. `insecure`: plain HTTP will do, and certificates are not checked. */
export type RegistryFor = (host: string, insecure: boolean) => RegistryClient;

/**
 * Registry clients with the credentials of sessions. Layers that one build found may be fetched by another that shares them,
 * so clients stay open until no build runs.
 */
export interface RegistryPool extends AsyncDisposable {
  /**
   * The clients of a session.
   * @param use ends the use when it is disposed
   */
  use(session: string, use: AsyncDisposableStack, access: RegistryAccess): RegistryFor;
}

/** @param open makes a client; for a host that need not be trusted, if one is named */
export function createRegistryPool(
  open: (access: RegistryAccess, insecureHost?: string) => RegistryClient,
): RegistryPool {
  const sessions = new Map<string, { readonly clients: Map<string, RegistryClient>; uses: number }>();
  let uses = 0;

  async function close(): Promise<void> {
    const all = [...sessions.values()].flatMap(({ clients }) => [...clients.values()]);
    sessions.clear();
    await Promise.all(all.map(client => client[Symbol.asyncDispose]()));
  }

  return {
    use(session, use, access) {
      const entry = sessions.get(session) ?? { clients: new Map(), uses: 0 };
      sessions.set(session, entry);
      entry.uses += 1;
      uses += 1;
      use.defer(async () => {
        entry.uses -= 1;
        uses -= 1;
        if (uses === 0) await close();
      });
      return (host, insecure) => {
        const name = insecure ? host : '';
        const client = entry.clients.get(name) ?? (insecure ? open(access, host) : open(access));
        entry.clients.set(name, client);
        return client;
      };
    },
    [Symbol.asyncDispose]: close,
  };
}
