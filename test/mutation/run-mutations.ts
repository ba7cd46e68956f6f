/** Builds, changes something, builds again, and checks what the explanation says: as many rounds as it is asked for. */
import { openBench } from './bench.ts';
import { wrongOf } from './check.ts';
import { corpus } from './corpus.ts';
import { importKinds, runImportRound } from './import-changes.ts';
import type { Mutation } from './mutation.ts';
import { isPairable, makers } from './mutations.ts';
import { type Picker, random, type State } from './state.ts';

export interface MutationOptions {
  readonly seed: number;
  /** Single changes to make. */
  readonly singles: number;
  /** Pairs of changes to make. */
  readonly pairs: number;
  /** So many changes are made on one root before the next one is begun. */
  readonly changes: number;
  /** No more are made after that; milliseconds since the epoch. */
  readonly until?: number;
}

/** What a run came to. */
export interface MutationReport {
  readonly singles: number;
  readonly pairs: number;
  /** Steps that ran and were explained. */
  readonly explained: number;
  readonly failures: readonly string[];
  /** How often each kind of change was made. */
  readonly kinds: Readonly<Record<string, number>>;
  /** Dockerfiles that were changed. */
  readonly dockerfiles: number;
}

const MENDS = 'mend an instruction';
/** Of so many single changes one is about an imported cache. */
const IMPORTS = 12;

/** Runs the mutation test. The same seed makes the same changes. @param onWrong - hears of what is wrong at once @param onRoot - of each root that was done with */
export async function runMutations(
  options: MutationOptions,
  onWrong: (failure: string) => void = () => undefined,
  onRoot: (told: string) => void = () => undefined,
): Promise<MutationReport> {
  const { seed, singles, pairs } = options;
  const next = random(seed);
  const pick: Picker = list => list[Math.floor(next() * list.length)];
  let words = 0;
  const fresh = () => `${(++words).toString(36)}${Math.floor(next() * 36 ** 4).toString(36)}`;
  const failures: string[] = [];
  const kinds: Record<string, number> = Object.fromEntries(
    [...Object.keys(makers), ...importKinds].map(one => [one, 0]),
  );
  const made = { singles: 0, pairs: 0, explained: 0 };
  const seen = new Set<string>();
  const begin = Math.floor(next() * corpus.length);
  const { until = Number.POSITIVE_INFINITY } = options;
  const isDone = () => (made.singles >= singles && made.pairs >= pairs) || Date.now() > until;

  function fail(failure: string): void {
    failures.push(failure);
    onWrong(failure);
  }

  /** Of a few kinds the one that was made the least. */
  function kindOf(names: readonly string[]): string {
    const drawn = [pick(names), pick(names), pick(names)].filter(name => name !== undefined);
    const [rarest = ''] = drawn.sort((a, b) => (kinds[a] ?? 0) - (kinds[b] ?? 0));
    return rarest;
  }

  function change(
    state: State,
    isAllowed: (name: string) => boolean,
    beside?: Mutation,
  ): { name: string; mutation: Mutation } {
    const names = Object.keys(makers).filter(name => name !== MENDS && isAllowed(name));
    const isRareFirst = next() < 0.5;
    const byRarity = isRareFirst ? names.toSorted((a, b) => (kinds[a] ?? 0) - (kinds[b] ?? 0)) : [];
    for (let tries = 0; ; tries++) {
      const mended = makers[MENDS]?.(state, pick, fresh);
      // What can seldom be made is as likely as the rest at first; after that anything that can be made will do.
      const drawn = isRareFirst ? byRarity[tries] : tries < 4 ? kindOf(names) : pick(names);
      const name = mended === undefined ? (drawn ?? pick(names) ?? '') : MENDS;
      const mutation = mended ?? makers[name]?.(state, pick, fresh);
      if (mutation === undefined || mutation.about.some(one => beside?.about.includes(one))) continue;
      mutation.apply();
      kinds[name] = (kinds[name] ?? 0) + 1;
      return { name, mutation };
    }
  }

  for (let round = 0; !isDone(); round++) {
    const entry = corpus[(begin + round) % corpus.length];
    if (entry === undefined) break;
    seen.add(entry.name);
    await using bench = await openBench(entry);
    await bench.build();
    for (let count = 0; count < options.changes && !isDone(); count++) {
      const isBroken = makers[MENDS]?.(bench.state, pick, fresh) !== undefined;
      const isPair = made.pairs < pairs && !isBroken && (count % 3 === 2 || made.singles >= singles);
      const before = bench.state.lines;
      const first = change(bench.state, name => !isPair || isPairable(name));
      const mutations = [first.mutation];
      if (isPair) mutations.push(change(bench.state, isPairable, first.mutation).mutation);
      const what = mutations.map(one => one.what).join(' AND ');
      const steps = await bench.build().catch((error: unknown) => {
        fail(`${entry.name}: ${what}: ${error}`);
        return undefined;
      });
      if (steps === undefined) break;
      made.explained += steps.filter(({ causes }) => causes.length > 0).length;
      made[isPair ? 'pairs' : 'singles']++;
      const wrong = wrongOf(mutations, steps, entry);
      if (wrong.length > 0) {
        const files = [before, bench.state.lines].map(lines => lines.join('\n')).join('\n--- became ---\n');
        fail(`${entry.name}: ${what}\n  ${wrong.join('\n  ')}\n${files}`);
      }
      bench.state.made.push(...mutations);
      if (mutations.some(({ isLast }) => isLast)) break;
      // Flags are of one build: the next change is made to a build without them.
      if (mutations.some(({ isOfBuild }) => isOfBuild)) await bench.build();
    }
    onRoot(`${made.singles} and ${made.pairs} pairs, last ${entry.name}`);
    if (made.singles < singles && round % Math.max(1, Math.ceil(IMPORTS / options.changes)) === 0) {
      const kind = kindOf(importKinds);
      const result = await runImportRound(kind, pick, fresh);
      kinds[kind] = (kinds[kind] ?? 0) + 1;
      made.singles++;
      made.explained += result.explained;
      result.failures.forEach(fail);
    }
  }
  return { ...made, failures, kinds, dockerfiles: seen.size };
}
