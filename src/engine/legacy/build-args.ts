/** Build arguments as the legacy builder scopes them (legacy builder facts, 2). */

/** Those that need no declaration. */
const PROXIES: ReadonlySet<string> = new Set(
  ['HTTP_PROXY', 'HTTPS_PROXY', 'FTP_PROXY', 'NO_PROXY'].flatMap(name => [name, name.toLowerCase()]),
);

/** The arguments of one build. */
export interface BuildArgs {
  /** Declares one before the first FROM; `value` is its default. */
  declareGlobal(name: string, value: string | undefined): void;
  /** The values of those before the first FROM. */
  globals(): Map<string, string>;
  /** Begins a stage, in which none is declared. */
  openStage(): StageArgs;
  /** The names that were given and never declared, sorted. */
  unused(): string[];
}

/** The arguments of one stage. */
export interface StageArgs {
  /** Declares one; without a default, the value of the global one of that name is its default. */
  declare(name: string, value: string | undefined): void;
  /** Those that have a value and are not among `taken`, which the environment sets. */
  values(taken: ReadonlyMap<string, string>): Map<string, string>;
  /** Whether it stands in the keys of RUN steps: all but proxies that nobody declared. */
  isListed(name: string): boolean;
}

/** @param given What `--build-arg` set. */
export function createBuildArgs(given: ReadonlyMap<string, string>): BuildArgs {
  const globals = new Map<string, string | undefined>();
  const declared = new Set<string>();

  function valuesOf(scope: ReadonlyMap<string, string | undefined>): Map<string, string> {
    const values = new Map<string, string>();
    for (const name of new Set([...scope.keys(), ...PROXIES])) {
      const value = given.get(name) ?? scope.get(name) ?? (scope.has(name) ? globals.get(name) : undefined);
      if (value !== undefined) values.set(name, value);
    }
    return values;
  }

  return {
    declareGlobal(name, value) {
      globals.set(name, value);
      declared.add(name);
    },
    globals: () => valuesOf(globals),
    openStage() {
      const scope = new Map<string, string | undefined>();
      const ownNames = new Set<string>(globals.keys());
      return {
        declare(name, value) {
          scope.set(name, value);
          ownNames.add(name);
          declared.add(name);
        },
        values(taken) {
          const values = valuesOf(scope);
          for (const name of taken.keys()) values.delete(name);
          return values;
        },
        isListed: name => !PROXIES.has(name) || ownNames.has(name),
      };
    },
    unused: () => [...given.keys()].filter(name => !declared.has(name) && !PROXIES.has(name)).sort(),
  };
}
