/** Owners that file actions name: by number, or by name in the passwd and group files of an image. */
import type { ChownOpt } from '../../../wire/proto/gen/pb/ops_pb.ts';

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** Reads a file of an input of the op; undefined when it is missing. */
export type ReadInputFile = (input: number, path: string) => Promise<string | undefined>;

/**
 * The owner that an action asks for, or undefined when it does not ask. A user alone by number has the group of the same
 * number; by name, its primary group. Names that are not there count as 0, as BuildKit has it.
 */
export async function resolveOwner(chown: ChownOpt | undefined, read: ReadInputFile): Promise<Owner | undefined> {
  if (!chown) return undefined;
  let [uid, gid] = [0, 0];
  const user = chown.user?.user;
  if (user?.case === 'byID') [uid, gid] = [user.value, user.value];
  else if (user?.case === 'byName') {
    const fields = findLine(await read(Number(user.value.input), '/etc/passwd'), user.value.name);
    [uid, gid] = [id(fields?.[2]), id(fields?.[3])];
  }
  const group = chown.group?.user;
  if (group?.case === 'byID') gid = group.value;
  else if (group?.case === 'byName') {
    const fields = findLine(await read(Number(group.value.input), '/etc/group'), group.value.name);
    if (fields) gid = id(fields[2]);
  }
  return { uid, gid };
}

function findLine(file: string | undefined, name: string): readonly string[] | undefined {
  for (const line of file?.split('\n') ?? []) {
    const fields = line.trim().split(':');
    if (fields[0] === name) return fields;
  }
  return undefined;
}

function id(field: string | undefined): number {
  return field !== undefined && /^[0-9]+$/.test(field) ? Number(field) : 0;
}
