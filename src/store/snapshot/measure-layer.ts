import { readdirSync } from 'node:fs';
import { statFile } from '../../host/system/stat.ts';
import { type BytePath, systemPath } from '../../wire/fsutil/byte-path.ts';
import type { TaskContext } from '../content/task.ts';
import { isDirectory } from './overlay-stack.ts';

const PAGE = 4096;

/** Task: how many bytes a directory takes on the disk, names of one file counted once. */
export function measureLayer({ path }: { readonly path: BytePath }, context: TaskContext): number {
  const seen = new Set<string>();
  const measure = (at: BytePath): number => {
    context.throwIfAborted();
    let total = 0;
    for (const name of readdirSync(systemPath(at), { encoding: 'latin1' })) {
      const file = `${at}/${name}`;
      const status = statFile(systemPath(file));
      if (status === undefined) continue;
      if (isDirectory(status)) {
        total += PAGE + measure(file);
        continue;
      }
      if (status.nlink > 1) {
        const inode = `${status.inoHigh}:${status.inoLow}`;
        if (seen.has(inode)) continue;
        seen.add(inode);
      }
      total += Math.ceil(status.size / PAGE) * PAGE;
    }
    return total;
  };
  return PAGE + measure(path);
}
