/** Which steps of a build have the keys that steps of another one had. Nothing but the two records is looked at. */
import type { StepRecord } from '../history/build-record.ts';
import { type BuildView, keysOf } from './build-view.ts';
import { baseOf, type PartsReader } from './step-kind.ts';

/** `maybe`: known if what it reads of other steps came out the same. */
export type KnownOutcome = 'hit' | 'maybe' | 'run';

interface Node {
  readonly view: BuildView;
  readonly step: number;
}

/** What would become of each step of `now` if only `past` had been built. */
export function knownOutcomes(past: BuildView, now: BuildView, parts: PartsReader): (step: number) => KnownOutcome {
  const strict = classesOf([past, now], parts, false);
  const relaxed = classesOf([past, now], parts, true);
  const kept = (classes: Classes) =>
    new Set(past.steps.flatMap((record, step) => (isKept(record) ? [classes({ view: past, step })] : [])));
  const [known, likely] = [kept(strict), kept(relaxed)];
  return step => {
    if (now.steps[step]?.forced) return 'run';
    if (known.has(strict({ view: now, step }))) return 'hit';
    return likely.has(relaxed({ view: now, step })) ? 'maybe' : 'run';
  };
}

/** Whether a step left a result, or stood below one that was found. */
function isKept({ record, cached, error }: StepRecord): boolean {
  return error === undefined && (record !== undefined || cached === true);
}

/** Steps of one class have one key. */
type Classes = (node: Node) => number;

/** @param isRelaxed what is read of a step counts as the same if nobody knows what it was */
function classesOf(views: readonly BuildView[], parts: PartsReader, isRelaxed: boolean): Classes {
  const ids = new Map<BuildView, Map<number, number>>(views.map(view => [view, new Map()]));
  const byDefinition = new Map<string, (Node & { readonly id: number })[]>();
  let next = 0;

  function isSameInput(a: Node, b: Node, input: number): boolean {
    const [one, other] = [a.view.steps[a.step], b.view.steps[b.step]];
    const [keys, past] = [keysOf(one, input), keysOf(other, input)];
    if ((keys.selector ?? '') !== (past.selector ?? '')) return false;
    const isKnown = keys.content !== undefined && past.content !== undefined;
    if (isKnown && keys.content === past.content) return true;
    const [below, under] = [one?.inputs[input] ?? -1, other?.inputs[input] ?? -1];
    if (idOf({ view: a.view, step: below }) === idOf({ view: b.view, step: under })) return true;
    if (!isRelaxed || isKnown || isContext(a.view, below) || isContext(b.view, under)) return false;
    return !(input === 0 && baseOf(a.view, a.step, parts) === below);
  }

  function isSame(a: Node, b: Node): boolean {
    const [one, other] = [a.view.steps[a.step], b.view.steps[b.step]];
    if (one === undefined || one.inputs.length !== other?.inputs.length) return false;
    return one.inputs.every((_, input) => isSameInput(a, b, input));
  }

  function idOf(node: Node): number {
    const { view } = node;
    const step = view.resolve(node.step);
    const known = ids.get(view)?.get(step);
    if (known !== undefined) return known;
    const resolved = { view, step };
    const definitions = isContext(view, step) ? [] : (view.steps[step]?.definitions ?? []);
    const same = definitions.flatMap(one => byDefinition.get(one) ?? []).find(other => isSame(resolved, other));
    const id = same?.id ?? next++;
    ids.get(view)?.set(step, id);
    for (const definition of definitions) {
      const list = byDefinition.get(definition) ?? [];
      byDefinition.set(definition, list);
      list.push({ ...resolved, id });
    }
    return id;
  }

  // Inputs first, so that a long chain is no deep recursion.
  for (const view of views) for (const step of inputsFirst(view)) idOf({ view, step });
  return idOf;
}

function inputsFirst({ steps }: BuildView): number[] {
  const order = new Set<number>();
  const seen = new Set<number>();
  for (const start of steps.keys()) {
    const stack = [start];
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const below = seen.has(top) ? [] : [...(steps[top]?.inputs ?? []), ...[steps[top]?.mergedInto ?? []].flat()];
      seen.add(top);
      const open = below.filter(input => !seen.has(input));
      if (open.length > 0) stack.push(...open);
      else {
        stack.pop();
        order.add(top);
      }
    }
  }
  return [...order];
}

/** A directory of the client is known by what steps take of it, never by itself. */
function isContext({ steps }: BuildView, step: number): boolean {
  return steps[step]?.definitions.some(digest => digest.startsWith('parts:')) ?? false;
}
