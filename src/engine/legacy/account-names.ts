import { readFileSync } from 'node:fs';

/** Names of users and groups of this machine; empty for ids without one. */
export interface AccountNames {
  user(uid: number): string;
  group(gid: number): string;
}

/** Reads the names once, when they are first asked for. A file that cannot be read names nobody. */
export function accountNames(passwd = '/etc/passwd', group = '/etc/group'): AccountNames {
  let users: ReadonlyMap<number, string> | undefined;
  let groups: ReadonlyMap<number, string> | undefined;
  return {
    user(uid) {
      users ??= readNames(passwd);
      return users.get(uid) ?? '';
    },
    group(gid) {
      groups ??= readNames(group);
      return groups.get(gid) ?? '';
    },
  };
}

function readNames(file: string): ReadonlyMap<number, string> {
  const names = new Map<number, string>();
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    return names;
  }
  for (const line of text.split('\n')) {
    const [name = '', , id = ''] = line.split(':');
    // Of several names for one id the first counts.
    if (/^\d+$/.test(id) && !names.has(Number(id))) names.set(Number(id), name);
  }
  return names;
}
