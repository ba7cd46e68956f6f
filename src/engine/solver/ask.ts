/** Which phase an edge asks of each input (cache-keys: the solver's order, steps 2 to 7). */
import { depOf, type EdgeState, type InputState, inputsOf, Phase } from './edge.ts';
import { cannotMatch, contentPending, preparationPending } from './match.ts';

/** What the inputs of an edge say together. */
interface Outlook {
  /** All have given their keys by definition. */
  readonly fast: boolean;
  /** All have given all keys that they will give, content keys too. */
  readonly slow: boolean;
  /** Each has a candidate, or cannot be asked for more. */
  readonly allHaveKeys: boolean;
  /** Some input without candidates may still get one: those that have one wait (phase 1 of 2). */
  readonly definitionFirst: boolean;
  /** The same, once definition keys are out. */
  readonly contentFirst: boolean;
}

function look<R>(edge: EdgeState<R>, inputs: readonly InputState<R>[]): Outlook {
  let fast = edge.mapDone;
  let slow = edge.mapDone;
  let allHaveKeys = edge.map !== undefined;
  let definitionFirst = edge.map === undefined;
  let contentFirst = false;
  for (const input of inputs) {
    const byContent = depOf(edge, input)?.contentDigest !== undefined;
    if (input.phase < Phase.fast) fast = false;
    if (input.phase < Phase.slow || contentPending(edge, input)) slow = false;
    if (input.candidates.size > 0) continue;
    if (input.contentKey === undefined && input.phase < Phase.complete) allHaveKeys = false;
    if (byContent ? !input.contentDone : input.phase < Phase.complete) definitionFirst = true;
    if ((byContent && !input.contentDone) || input.phase < Phase.slow) contentFirst = true;
  }
  return { fast, slow, allHaveKeys, definitionFirst, contentFirst };
}

/** The phase that each input is to reach for the edge to reach `goal`; the phase that it has when it need not move. */
export function phasesToAsk<R>(edge: EdgeState<R>, goal: Phase): Phase[] {
  const inputs = inputsOf(edge);
  edge.noMatch ||= inputs.some(input => cannotMatch(edge, input));
  if (edge.noMatch) return inputs.map(() => Phase.complete);
  const outlook = look(edge, inputs);
  return inputs.map(input => phaseToAsk(edge, input, goal, outlook));
}

function phaseToAsk<R>(edge: EdgeState<R>, input: InputState<R>, goal: Phase, outlook: Outlook): Phase {
  const hasCandidate = input.candidates.size > 0;
  const byContent = depOf(edge, input)?.contentDigest !== undefined;
  const waitsForDefinitions = outlook.definitionFirst && hasCandidate;
  const waitsForContent = outlook.contentFirst && hasCandidate && byContent && !input.contentDone;
  switch (input.phase) {
    case Phase.initial:
      return Phase.fast;
    case Phase.fast: {
      const due = (outlook.fast && edge.keys.length === 0) || !hasCandidate || outlook.allHaveKeys;
      return goal > Phase.fast && edge.map !== undefined && due && !waitsForDefinitions ? Phase.slow : Phase.fast;
    }
    case Phase.slow: {
      if (edge.map === undefined || waitsForContent) return Phase.slow;
      if (goal < Phase.complete) return byContent ? Phase.complete : Phase.slow;
      const due = !hasCandidate || outlook.slow || (byContent && !waitsForDefinitions);
      return due && edge.records.length === 0 ? Phase.complete : Phase.slow;
    }
    default:
      return input.phase;
  }
}

/** Whether the step can run: all inputs are there, prepared, and their content digests computed. */
export function canRun<R>(edge: EdgeState<R>): boolean {
  return (
    edge.mapDone && inputsOf(edge).every(input => input.phase === Phase.complete && !preparationPending(edge, input))
  );
}
