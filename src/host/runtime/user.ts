import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import { resolveInRoot } from '../system/root-path.ts';

const LARGEST_FILE = 10 << 20;
const LARGEST_ID = 0x7fffffff;

/** Who a step runs as. `additionalGids` begins with the group itself. */
export interface StepUser {
  readonly uid: number;
  readonly gid: number;
  readonly additionalGids: readonly number[];
}

/** The user that a step names is not in its root, or not a valid number. */
class UserError extends Error {
  override readonly name = 'UserError';
}

interface PasswdEntry {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
}

interface GroupEntry {
  readonly name: string;
  readonly gid: number;
  readonly members: readonly string[];
}

/**
 * Looks up a user and its groups in a root's own passwd and group files. Two numbers are taken as they are; `root`
 * counts as 0 there. Throws `UserError`.
 *
 * @param root The root file system.
 * @param spec `user`, `uid`, `user:group`, …; empty is root.
 */
export function lookUpUser(root: string, spec: string): StepUser {
  const [userPart = '', groupPart] = split(spec === '' ? '0' : spec);
  if (groupPart !== undefined) {
    const [uid, gid] = [plainId(userPart), plainId(groupPart)];
    if (uid !== undefined && gid !== undefined) return { uid, gid, additionalGids: [gid] };
  }
  try {
    return search(root, userPart, groupPart ?? '');
  } catch (error) {
    if (spec === '' && error instanceof UserError) return { uid: 0, gid: 0, additionalGids: [0] };
    throw error;
  }
}

/** The home directory of a uid in a root's passwd file, `/` if it has none. */
export function homeOf(root: string, uid: number): string {
  let home: string | undefined;
  try {
    home = passwd(root)?.find(entry => entry.uid === uid)?.home;
  } catch {
    // An unreadable file has already failed the look-up of the user, unless that was all numbers.
  }
  return home === undefined || home === '' ? '/' : home;
}

function search(root: string, user: string, group: string): StepUser {
  // A group alone is one of root's.
  const [userNumber, groupNumber] = [user === '' ? 0 : decimal(user), decimal(group)];
  const entry = passwd(root)?.find(({ name, uid }) => (userNumber === undefined ? name === user : uid === userNumber));
  if (entry === undefined && userNumber === undefined) {
    throw new UserError(`unable to find user ${user}: no matching entries in passwd file`);
  }
  const uid = entry?.uid ?? inRange(userNumber ?? 0);
  let gid = entry?.gid ?? 0;
  let others: number[] = [];
  if (group !== '') {
    const found = groups(root).find(({ name, gid: id }) =>
      groupNumber === undefined ? name === group : id === groupNumber,
    );
    if (found === undefined && groupNumber === undefined) {
      throw new UserError(`unable to find group ${group}: no matching entries in group file`);
    }
    gid = found?.gid ?? inRange(groupNumber ?? 0);
  } else if (entry !== undefined && entry.name !== '') {
    others = groups(root)
      .filter(({ members }) => members.includes(entry.name))
      .map(found => found.gid);
  }
  return { uid, gid, additionalGids: others.includes(gid) ? others : [gid, ...others] };
}

function split(spec: string): [string, string | undefined] {
  const colon = spec.indexOf(':');
  return colon < 0 ? [spec, undefined] : [spec.slice(0, colon), spec.slice(colon + 1)];
}

function plainId(text: string): number | undefined {
  if (text === 'root') return 0;
  const number = /^[0-9]+$/.test(text) ? Number(text) : undefined;
  return number !== undefined && number <= 0xffffffff ? number : undefined;
}

function decimal(text: string): number | undefined {
  return /^[+-]?[0-9]+$/.test(text) ? Number(text) : undefined;
}

function inRange(id: number): number {
  if (id < 0 || id > LARGEST_ID) throw new UserError(`uids and gids must be in range 0-${LARGEST_ID}`);
  return id;
}

function passwd(root: string): PasswdEntry[] | undefined {
  return lines(root, '/etc/passwd')?.map(line => {
    const [name = '', , uid = '', gid = '', , home = ''] = line.split(':');
    return { name, uid: decimal(uid) ?? 0, gid: decimal(gid) ?? 0, home };
  });
}

function groups(root: string): GroupEntry[] {
  const found = lines(root, '/etc/group')?.map(line => {
    const [name = '', , gid = '', members = ''] = line.split(':');
    return { name, gid: decimal(gid) ?? 0, members: members.split(',') };
  });
  return found ?? [];
}

/** The lines of a small regular file, or undefined if there is none. */
function lines(root: string, path: string): string[] | undefined {
  let descriptor: number;
  try {
    // A pipe in place of the file must not hang the build.
    descriptor = openSync(resolveInRoot(root, path), constants.O_RDONLY | constants.O_NONBLOCK);
  } catch {
    return undefined;
  }
  try {
    const stat = fstatSync(descriptor);
    if (!stat.isFile()) return undefined;
    if (stat.size > LARGEST_FILE) throw new UserError(`${JSON.stringify(path)} exceeds ${LARGEST_FILE} bytes`);
    return readFileSync(descriptor, 'utf8')
      .split('\n')
      .map(line => line.trim())
      .filter(line => line !== '');
  } finally {
    closeSync(descriptor);
  }
}
