/** Builds, changes something, builds again, and checks what the explanation says: as many rounds as it is asked for. */
import type { StepExplanation } from '../../../src/insight/explain/explain-build.ts';
import { causeText } from '../../../src/insight/explain/words.ts';
import { openBench } from './bench.ts';
import { type CorpusEntry, corpus } from './corpus.ts';
import { isPairable, type Mutation, makers, type Picker, random, type State } from './mutations.ts';

export interface MutationOptions {
  readonly seed: number;
  /** Single changes to make. */
  readonly singles: number;
  /** Pairs of changes to make. */
  readonly pairs: number;
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
}

/** So many changes are made on one root before the next one is begun. */
const CHANGES = 12;

/** Runs the mutation test. The same seed makes the same changes. */
export async function runMutations({ seed, singles, pairs }: MutationOptions): Promise<MutationReport> {
  const next = random(seed);
  const pick: Picker = list => list[Math.floor(next() * list.length)];
  let words = 0;
  const fresh = () => `${(++words).toString(36)}${Math.floor(next() * 36 ** 4).toString(36)}`;
  const failures: string[] = [];
  const kinds: Record<string, number> = {};
  const made = { singles: 0, pairs: 0, explained: 0 };

  const change = (state: State, isAllowed: (name: string) => boolean): { name: string; mutation: Mutation } => {
    for (;;) {
      // By kind first: changes that can seldom be made are as likely as others.
      const name = pick(Object.keys(makers).filter(isAllowed)) ?? '';
      const mutation = makers[name]?.(state, pick, fresh);
      if (mutation === undefined) continue;
      mutation.apply();
      kinds[name] = (kinds[name] ?? 0) + 1;
      return { name, mutation };
    }
  };

  for (let round = 0; made.singles < singles || made.pairs < pairs; round++) {
    const entry = corpus[round % corpus.length];
    if (entry === undefined) break;
    await using bench = openBench(entry);
    await bench.build();
    for (let count = 0; count < CHANGES && (made.singles < singles || made.pairs < pairs); count++) {
      const isPair = made.pairs < pairs && (count % 3 === 2 || made.singles >= singles);
      const before = bench.state.lines;
      const first = change(bench.state, name => !isPair || isPairable(name));
      const mutations = [first.mutation];
      if (isPair) mutations.push(change(bench.state, name => isPairable(name) && name !== first.name).mutation);
      const steps = await bench.build();
      const ran = steps.filter(({ outcome }) => outcome === 'ran' || outcome === 'failed');
      made.explained += ran.length;
      made[isPair ? 'pairs' : 'singles']++;
      const failed = check(mutations, ran, entry);
      if (failed.length > 0) {
        const what = mutations.map(one => one.what).join(' AND ');
        const files = [before, bench.state.lines].map(lines => lines.join('\n')).join('\n--- became ---\n');
        failures.push(`${entry.name}: ${what}\n  ${failed.join('\n  ')}\n${files}`);
      }
      if (mutations.some(({ isLast }) => isLast)) break;
    }
  }
  return { ...made, failures, kinds };
}

/** What is wrong with the explanations of the steps that ran. */
function check(mutations: readonly Mutation[], ran: readonly StepExplanation[], entry: CorpusEntry): string[] {
  const failures: string[] = [];
  const named = new Set<Mutation>();
  for (const { record, causes, against } of ran) {
    if (causes.length === 0) failures.push(`${record.name} ran and nothing is said`);
    for (const { cause } of causes) {
      const whose = mutations.filter(({ isCause }) => isCause(cause));
      for (const one of whose) named.add(one);
      if (whose.length > 0) continue;
      failures.push(`${record.name} against build ${against}: ${causeText(cause)} ${JSON.stringify(cause)}`);
    }
  }
  for (const one of mutations) {
    if (named.has(one) || one.isSilent || one.mayBeSilent || entry.target !== undefined) continue;
    failures.push(`"${one.what}" is named nowhere, ${ran.length} steps ran`);
  }
  if (mutations.every(one => one.isSilent) && ran.length > 0) failures.push(`${ran.length} steps ran`);
  return failures;
}
