/** Rules on what a build may take from elsewhere (control-api facts, 4.4). */
import { posix } from 'node:path';
import { runInNewContext } from 'node:vm';
import { parseGitRemote } from '../../plan/llb/git-url.ts';
import {
  AttrMatch,
  MatchType,
  type Policy,
  PolicyAction,
  type Rule,
} from '../../wire/proto/gen/control/sourcepolicy_pb.ts';
import type { Platform } from '../../wire/proto/gen/pb/ops_pb.ts';
import { parseGitSource } from './git-key.ts';

/** A source as graphs name it. */
interface PolicySource {
  readonly identifier: string;
  readonly attrs: Record<string, string>;
}

/**
 * Gives the source to take in place of another; the same one where nothing rewrites it. Throws SourcePolicyError.
 * @param platform that the source is wanted for
 */
export type SourcePolicy = (source: PolicySource, platform?: Platform) => PolicySource;

/** A source that a policy denies, or a policy that cannot be obeyed. Messages are those of BuildKit's daemon. */
export class SourcePolicyError extends Error {
  override readonly name = 'SourcePolicyError';
}

const GIT = 'git://';
const MOST_CHANGES = 20;
/** Expressions are the client's, and other builds wait while one is matched. */
const LONGEST_MATCH = 1000;

/**
 * Policies as one. The first that rewrites a source starts all anew; in each, the last rule that allows or denies counts.
 * @throws SourcePolicyError for rules without a selector
 */
export function sourcePolicy(policies: readonly Policy[]): SourcePolicy {
  for (const { rules } of policies) {
    if (rules.some(({ selector }) => selector === undefined))
      throw new SourcePolicyError('invalid nil selector in policy');
  }
  return source => {
    const named = { ...source, identifier: canonicalIdentifier(source) };
    let current: PolicySource = named;
    for (let changes = 0; changes <= MOST_CHANGES; changes++) {
      const next = firstChange(policies, current);
      if (next === undefined) return current === named ? source : current;
      current = next;
    }
    throw new SourcePolicyError('too many mutations on a single source: too many operations');
  };
}

/**
 * The name that rules know a source by, however a graph spells it: of a git source the repository that is really fetched from,
 * with a clean path.
 */
export function canonicalIdentifier({ identifier, attrs }: PolicySource): string {
  if (!identifier.startsWith(GIT)) return identifier;
  try {
    const { remote, ref, subdir } = parseGitSource(identifier.slice(GIT.length), attrs);
    const { host, path } = parseGitRemote(remote);
    const place = subdir === '' ? '' : `:${subdir}`;
    const fragment = ref === '' && subdir === '' ? '' : `#${ref}${place}`;
    return `${GIT}${host}${posix.join('/', path)}${fragment}`;
  } catch {
    // What is wrong with it is told when it is opened.
    return identifier;
  }
}

function firstChange(policies: readonly Policy[], source: PolicySource): PolicySource | undefined {
  for (const { rules } of policies) {
    const changed = applyRules(rules, source);
    if (changed !== undefined) return changed;
  }
  return undefined;
}

function applyRules(rules: readonly Rule[], source: PolicySource): PolicySource | undefined {
  let denied = false;
  for (const rule of rules) {
    if (!matches(rule, source)) continue;
    const { action } = rule;
    if (action === PolicyAction.ALLOW) denied = false;
    else if (action === PolicyAction.DENY) denied = true;
    else if (action === PolicyAction.CONVERT) {
      const changed = convert(rule, source);
      if (changed !== undefined) return changed;
    } else {
      const { identifier } = source;
      throw new SourcePolicyError(
        `source policy: rule ${action} ${rule.selector?.identifier}: unknown type ${JSON.stringify(identifier)}`,
      );
    }
  }
  if (denied) {
    throw new SourcePolicyError(
      `source ${JSON.stringify(source.identifier)} denied by policy: source denied by policy`,
    );
  }
  return undefined;
}

function matches({ selector }: Rule, { identifier, attrs }: PolicySource): boolean {
  if (selector === undefined) return false;
  for (const { key, value, condition } of selector.constraints) {
    const actual = attrs[key] ?? '';
    const holds =
      condition === AttrMatch.MATCHES
        ? matchesOf(value, actual).length > 0
        : (actual === value) === (condition === AttrMatch.EQUAL);
    if (!holds) return false;
  }
  if (selector.identifier === identifier) return true;
  const pattern = patternOf(selector.matchType, selector.identifier);
  return pattern !== undefined && matchesOf(pattern, identifier).length > 0;
}

/** The expression of a selector; undefined for one that is a plain text. */
function patternOf(type: MatchType, text: string): string | undefined {
  if (type === MatchType.EXACT) return undefined;
  if (type === MatchType.REGEX) return text;
  if (text.includes('**')) throw new SourcePolicyError('error matching source policy: invalid wildcard: "**"');
  return `^${text.split('*').map(escapePattern).join('(.*)')}$`;
}

function escapePattern(text: string): string {
  return text.replaceAll(/[\\^$.*+?()[\]{}|/]/g, String.raw`\$&`);
}

function convert({ selector, updates }: Rule, source: PolicySource): PolicySource | undefined {
  if (selector === undefined || updates === undefined)
    throw new SourcePolicyError('error mutating source policy: missing destination for convert rule');
  const pattern = patternOf(selector.matchType, selector.identifier);
  const wanted = updates.identifier === '' ? selector.identifier : updates.identifier;
  const identifier =
    (pattern === undefined ? wanted : replaced(pattern, source.identifier, wanted)) || source.identifier;
  const changed = Object.entries(updates.attrs).some(([key, value]) => source.attrs[key] !== value);
  if (!changed && identifier === source.identifier) return undefined;
  return { identifier, attrs: { ...source.attrs, ...updates.attrs } };
}

/** What an expression finds is replaced, `$1` and `${1}` standing for its groups. */
function replaced(pattern: string, text: string, template: string): string {
  let end = 0;
  let out = '';
  for (const match of matchesOf(pattern, text)) {
    const group = (whole: string, braced: string | undefined, bare: string | undefined) =>
      whole === '$$' ? '$' : (match.groups.get(braced ?? bare ?? '') ?? '');
    out += text.slice(end, match.start) + template.replaceAll(/\$(?:\$|\{(\w+)\}|(\w+))/g, group);
    end = match.end;
  }
  return out + text.slice(end);
}

interface Match {
  readonly start: number;
  readonly end: number;
  /** By name and by number. */
  readonly groups: ReadonlyMap<string, string | undefined>;
}

function matchesOf(pattern: string, text: string): Match[] {
  const [, flags = '', rest = ''] = /^(?:\(\?([ims]+)\))?(.*)$/s.exec(pattern) ?? [];
  let found: readonly RegExpExecArray[];
  try {
    found = runInNewContext(
      '[...text.matchAll(new RegExp(pattern, flags))]',
      { pattern: rest, flags: `g${flags}`, text },
      { timeout: LONGEST_MATCH },
    );
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new SourcePolicyError(`error matching source policy: invalid regex ${JSON.stringify(pattern)}: ${reason}`, {
      cause,
    });
  }
  return found.map(match => ({
    start: match.index,
    end: match.index + match[0].length,
    groups: new Map([
      ...match.map((text, number): [string, string | undefined] => [String(number), text]),
      ...Object.entries(match.groups ?? {}),
    ]),
  }));
}
