/** How the actions of a file op depend on each other. */
import type { FileAction } from '../../../wire/proto/gen/pb/ops_pb.ts';
import { InvalidOpError } from '../op-key.ts';

/** What an action's indices stand for. */
export type ActionSource = { readonly input: number } | { readonly action: number } | undefined;

/** An action in the graph of its op. */
interface ActionNode {
  readonly action: FileAction;
  /** What it works on; undefined for an empty tree. */
  readonly base: ActionSource;
  /** What a copy reads; undefined for an empty tree. */
  readonly secondary: ActionSource;
  /** Whether its result is needed as it stands: it is an output, or not only one other action goes on with it. */
  readonly kept: boolean;
}

/** A checked file op. */
export interface ActionGraph {
  readonly nodes: readonly ActionNode[];
  /** The action behind each output. */
  readonly outputs: readonly number[];
}

/**
 * Checks the indices of a file op with `inputs` inputs: 0 … n-1 are inputs, n+i is the result of action i, -1 is empty. Throws
 * {@link InvalidOpError}.
 */
export function actionGraph(actions: readonly FileAction[], inputs: number): ActionGraph {
  const total = inputs + actions.length;
  const uses = new Map<number, number>();
  const outputs: number[] = [];
  const use = (index: number, weight: number) => uses.set(index, (uses.get(index) ?? 0) + weight);
  actions.forEach((action, position) => {
    const [base, secondary, output] = [action.input, action.secondaryInput, action.output].map(Number);
    if (base === undefined || base < -1 || base >= total)
      throw new InvalidOpError(`invalid input index ${base}, ${total} provided`);
    if (secondary === undefined || secondary < -1 || secondary >= total)
      throw new InvalidOpError(`invalid secondary input index ${secondary}, ${inputs} provided`);
    use(base, 1);
    // What is read may not be written on, so it counts like two uses.
    use(secondary, 2);
    for (const user of namedInputs(action)) use(user, 2);
    if (output === undefined || output === -1) return;
    if (outputs[output] !== undefined) throw new InvalidOpError(`duplicate output ${output}`);
    outputs[output] = position;
    use(inputs + position, 2);
  });
  if (outputs.length === 0) throw new InvalidOpError('no outputs specified');
  for (let output = 0; output < outputs.length; output++)
    if (outputs[output] === undefined) throw new InvalidOpError(`missing output index ${output}`);

  const source = (index: bigint): ActionSource => {
    if (index < 0n) return undefined;
    return index < inputs ? { input: Number(index) } : { action: Number(index) - inputs };
  };
  const nodes = actions.map((action, position) => ({
    action,
    base: source(action.input),
    secondary: source(action.secondaryInput),
    kept: (uses.get(inputs + position) ?? 0) > 1,
  }));
  outputs.forEach(position => {
    checkLoops(nodes, position, []);
  });
  return { nodes, outputs };
}

/** Inputs in which an action looks names up. */
function namedInputs({ action }: FileAction): number[] {
  if (action.case !== 'copy' && action.case !== 'mkdir' && action.case !== 'mkfile' && action.case !== 'symlink')
    return [];
  const { owner } = action.value;
  return [owner?.user?.user, owner?.group?.user].flatMap(user =>
    user?.case === 'byName' ? [Number(user.value.input)] : [],
  );
}

function checkLoops(nodes: readonly ActionNode[], position: number, above: readonly number[]): void {
  if (above.includes(position)) throw new InvalidOpError(`loop from index ${position}`);
  const node = nodes[position];
  for (const source of [node?.base, node?.secondary])
    if (source && 'action' in source) checkLoops(nodes, source.action, [...above, position]);
}
