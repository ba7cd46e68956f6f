/** Files of a build context that were touched without any effect. */
import { lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/** As many files are looked at. */
const MOST = 50_000;

/**
 * The paths below a directory, relative, whose status changed (content, mode, owner, times or name) between two times,
 * milliseconds since the epoch. Directories count only for what is in them.
 */
export function filesTouched(directory: string, since: number, until: number): string[] {
  const found: string[] = [];
  const pending = [''];
  let seen = 0;
  for (let path = pending.pop(); path !== undefined && seen < MOST; path = pending.pop()) {
    for (const entry of entriesOf(join(directory, path))) {
      const name = path === '' ? entry.name : `${path}/${entry.name}`;
      seen++;
      if (entry.isDirectory()) {
        pending.push(name);
        continue;
      }
      const changed = lstatSync(join(directory, name), { throwIfNoEntry: false })?.ctimeMs ?? 0;
      if (changed > since && changed < until) found.push(name);
    }
  }
  return found.sort();
}

function entriesOf(path: string) {
  try {
    return readdirSync(path, { withFileTypes: true });
  } catch {
    // Gone meanwhile, or not for us to read.
    return [];
  }
}
