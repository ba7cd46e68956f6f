import type { RegistryAccess, RegistryClient } from '../../wire/registry/client.ts';

/** The client for a host. `insecure`: plain HTTP will do, and certificates are not checked. */
export type RegistryFor = (host: string, insecure: boolean) => RegistryClient;

/**
 * Registry clients with the credentials of sessions. Layers that one build found may be fetched by another that shares them,
 * so clients stay open as long as a build runs that does.
 */
export interface RegistryPool extends AsyncDisposable {
  /**
   * The clients of a session.
   * @param use ends the use when it is disposed
   */
  use(session: string, use: AsyncDisposableStack, access: RegistryAccess): RegistryFor;
  /**
   * Says who shares what a session found, before its build ends: they prove themselves in its place when they fetch what it
   * left to be fetched.
   */
  bequeath(session: string, heirs: Iterable<string>): void;
}

interface PoolEntry {
  readonly clients: Map<string, RegistryClient>;
  access: RegistryAccess;
  uses: number;
  readonly heirs: Set<string>;
}

/** @param open makes a client; for a host that need not be trusted, if one is named */
export function createRegistryPool(
  open: (access: RegistryAccess, insecureHost?: string) => RegistryClient,
): RegistryPool {
  const sessions = new Map<string, PoolEntry>();

  async function close(entries: Iterable<readonly [string, PoolEntry]>): Promise<void> {
    const closing: PromiseLike<void>[] = [];
    for (const [session, { clients }] of [...entries]) {
      sessions.delete(session);
      for (const client of clients.values()) closing.push(client[Symbol.asyncDispose]());
    }
    await Promise.all(closing);
  }

  /** The proofs of a session, or, once its build has ended, of those who share what it found. */
  function provers(session: string, seen = new Set<string>()): RegistryAccess[] {
    const entry = sessions.get(session);
    if (entry === undefined || seen.has(session)) return [];
    seen.add(session);
    return entry.uses > 0 ? [entry.access] : [...entry.heirs].flatMap(heir => provers(heir, seen));
  }

  function proofOf(session: string): RegistryAccess {
    return {
      async tokens(request, signal) {
        for (const { tokens } of provers(session)) {
          const token = await tokens?.(request, signal);
          if (token !== undefined) return token;
        }
        return undefined;
      },
      async credentials(host, signal) {
        for (const { credentials } of provers(session)) {
          const found = await credentials?.(host, signal);
          if (found !== undefined) return found;
        }
        return undefined;
      },
    };
  }

  return {
    use(session, use, access) {
      const entry: PoolEntry = sessions.get(session) ?? { clients: new Map(), access, uses: 0, heirs: new Set() };
      entry.access = access;
      sessions.set(session, entry);
      entry.uses += 1;
      use.defer(async () => {
        entry.uses -= 1;
        await close([...sessions].filter(([ended]) => provers(ended).length === 0));
      });
      const proof = proofOf(session);
      return (host, insecure) => {
        const name = insecure ? host : '';
        const client = entry.clients.get(name) ?? (insecure ? open(proof, host) : open(proof));
        entry.clients.set(name, client);
        return client;
      };
    },
    bequeath(session, heirs) {
      for (const heir of heirs) sessions.get(session)?.heirs.add(heir);
    },
    [Symbol.asyncDispose]: () => close(sessions),
  };
}
