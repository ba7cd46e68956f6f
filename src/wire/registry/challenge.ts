/** One way to prove who asks, as a server offers it in `WWW-Authenticate` (RFC 9110, section 11.6.1). */
export interface Challenge {
  /** Lower case: `bearer`, `basic`. */
  readonly scheme: string;
  /** Names in lower case. */
  readonly parameters: ReadonlyMap<string, string>;
}

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+/;

/** Reads one or more `WWW-Authenticate` values. What is malformed ends the reading of its value. */
export function parseChallenges(headers: string | readonly string[] | undefined): Challenge[] {
  const challenges: Challenge[] = [];
  const values = typeof headers === 'string' ? [headers] : (headers ?? []);
  for (const value of values) challenges.push(...parseValue(value));
  return challenges;
}

function parseValue(text: string): Challenge[] {
  const challenges: { scheme: string; parameters: Map<string, string> }[] = [];
  let rest = text;
  const skip = (pattern: RegExp) => {
    rest = rest.replace(pattern, '');
  };
  for (skip(/^[\s,]+/); rest !== ''; skip(/^[\s,]+/)) {
    const word = TOKEN.exec(rest)?.[0];
    if (word === undefined) break;
    skip(TOKEN);
    const equals = /^\s*=\s*/.exec(rest);
    const current = challenges.at(-1);
    if (equals === null) {
      challenges.push({ scheme: word.toLowerCase(), parameters: new Map() });
      continue;
    }
    if (current === undefined) break;
    rest = rest.slice(equals[0].length);
    const quoted = /^"((?:[^"\\]|\\.)*)"/.exec(rest);
    const plain = quoted ?? /^[^\s,]*/.exec(rest);
    const found = quoted === null ? (plain?.[0] ?? '') : (quoted[1] ?? '').replace(/\\(.)/g, '$1');
    current.parameters.set(word.toLowerCase(), found);
    rest = rest.slice(plain?.[0].length ?? 0);
  }
  return challenges;
}

/**
 * Scopes (`repository:PATH:ACTION,…`) with those of one resource merged, actions and scopes sorted: the smallest list that
 * asks for all of it, and the key under which a token for it can be kept.
 */
export function mergeScopes(scopes: readonly string[]): string[] {
  const actions = new Map<string, Set<string>>();
  for (const scope of scopes.flatMap(text => text.split(' ')).filter(Boolean)) {
    const colon = scope.lastIndexOf(':');
    const resource = scope.slice(0, colon);
    const known = actions.get(resource) ?? new Set();
    for (const action of scope.slice(colon + 1).split(',')) known.add(action);
    actions.set(resource, known);
  }
  return [...actions].map(([resource, set]) => `${resource}:${[...set].sort().join(',')}`).sort();
}
