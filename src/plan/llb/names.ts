import type { FileAction, Op } from '../../wire/proto/gen/pb/ops_pb.ts';

/** What a step is called that was given no name. */
export function vertexName({ op }: Op, inputs: readonly { readonly vertex: { readonly name: string } }[]): string {
  const nameOf = (input: bigint) => inputs[Number(input)]?.vertex.name;
  switch (op.case) {
    case 'source':
      return op.value.identifier;
    case 'exec':
      return (op.value.meta?.args ?? []).join(' ');
    case 'file':
      return op.value.actions.map(actionName).join(', ');
    case 'build':
      return 'build';
    case 'merge':
      return `merge (${op.value.inputs.map(({ input }) => nameOf(input) ?? '').join(', ')})`;
    case 'diff':
      return `diff ${side(nameOf(op.value.lower?.input ?? -1n))} -> ${side(nameOf(op.value.upper?.input ?? -1n))}`;
    case 'passthrough':
      return `passthrough ${op.value.id}`;
    case undefined:
      return 'unknown';
  }
}

function side(name: string | undefined): string {
  return name === undefined ? 'scratch' : `(${name})`;
}

function actionName({ action }: FileAction): string {
  switch (action.case) {
    case 'mkdir':
      return `mkdir ${action.value.path}`;
    case 'mkfile':
      return `mkfile ${action.value.path}`;
    case 'symlink':
      return `symlink ${action.value.newpath} -> ${action.value.oldpath}`;
    case 'rm':
      return `rm ${action.value.path}`;
    case 'copy':
      return `copy ${action.value.src} ${action.value.dest}`;
    case undefined:
      return 'unknown';
  }
}
