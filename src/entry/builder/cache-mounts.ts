import type { LoadedVertex } from '../../plan/llb/load.ts';
import { MountType } from '../../wire/proto/gen/pb/ops_pb.ts';

/** A cache mount that a step asks for. */
interface StepCacheMount {
  /** What its files are kept under; may be empty. */
  readonly id: string;
  readonly target: string;
  /** Whether it begins with files of another step. */
  readonly isSeeded: boolean;
}

/** The cache mounts of a step. */
export function cacheMountsOf({ op: { op } }: LoadedVertex): StepCacheMount[] {
  if (op.case !== 'exec') return [];
  return op.value.mounts
    .filter(({ mountType }) => mountType === MountType.CACHE)
    .map(({ cacheOpt, dest, input }) => ({ id: cacheOpt?.ID ?? '', target: dest, isSeeded: input !== -1n }));
}
