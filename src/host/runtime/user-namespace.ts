import { readFileSync } from 'node:fs';
import type { StepUser } from './user.ts';

/** Whether a group exists in this process's user namespace. */
export function isGroupMapped(gid: number): boolean {
  return readFileSync('/proc/self/gid_map', 'utf8')
    .split('\n')
    .map(line => line.trim().split(/\s+/).map(Number))
    .some(([first = 0, , count = 0]) => gid >= first && gid < first + count);
}

/** A user without its supplementary groups where the user namespace forbids to set them (user_namespaces(7)). */
export function permittedUser(user: StepUser, rootless: boolean): StepUser {
  if (!rootless || readFileSync('/proc/self/setgroups', 'utf8').trim() !== 'deny') return user;
  return { ...user, additionalGids: [] };
}
