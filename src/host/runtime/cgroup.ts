import { existsSync, mkdirSync, readFileSync, rmdirSync, statfsSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { bindMount, mount, UnmountFlag, unmount } from '../system/mount.ts';

const CGROUP = '/sys/fs/cgroup';
const CGROUP2_MAGIC = 0x63677270;

/** How the machine shows its cgroups: version 2, version 1, both beside each other, or not at all. */
export type CgroupLayout = 'unified' | 'legacy' | 'hybrid' | 'none';

/** The layout of `/sys/fs/cgroup` as this process sees it. */
export function cgroupLayout(): CgroupLayout {
  if (isCgroup2(CGROUP)) return 'unified';
  if (isCgroup2(join(CGROUP, 'unified'))) return 'hybrid';
  return existsSync(join(CGROUP, 'devices')) ? 'legacy' : 'none';
}

function isCgroup2(path: string): boolean {
  try {
    return statfsSync(path).type === CGROUP2_MAGIC;
  } catch {
    return false;
  }
}

/** A view of the version 1 controllers only; `show` adds some that were left out. */
export interface LegacyView extends Disposable {
  /** Makes controllers visible, such as `memory`; those that the machine lacks are passed over. */
  show(controllers: readonly string[]): void;
}

/**
 * Replaces `/sys/fs/cgroup` in this process's private mount namespace by one that has only some version 1 controllers:
 * crun refuses machines that show both versions, and each controller that it sees costs time per step. Throws
 * `SystemError`.
 *
 * @param place An empty directory, where the real tree stays reachable.
 * @param controllers Those to show at first.
 */
export function hideUnifiedCgroups(place: string, controllers: readonly string[]): LegacyView {
  bindMount(CGROUP, place, { recursive: true });
  mount({ source: 'tmpfs', target: CGROUP, type: 'tmpfs', data: 'mode=755' });
  const hierarchies = legacyHierarchies();
  const shown = new Set<string>();
  const show = (names: readonly string[]): void => {
    for (const name of names) {
      const hierarchy = hierarchies.find(joined => joined.includes(name));
      if (hierarchy === undefined) continue;
      // Controllers that are mounted together have one directory, and a link for each name.
      const directory = hierarchy.join(',');
      if (shown.has(directory) || !existsSync(join(place, directory))) continue;
      shown.add(directory);
      mkdirSync(join(CGROUP, directory));
      bindMount(join(place, directory), join(CGROUP, directory));
      if (hierarchy.length > 1) for (const alias of hierarchy) symlinkSync(directory, join(CGROUP, alias));
    }
  };
  show(controllers);
  return {
    show,
    [Symbol.dispose]() {
      unmount(CGROUP, UnmountFlag.detach);
      unmount(place, UnmountFlag.detach);
    },
  };
}

/** The controllers of version 1, those that are mounted together in one list (cgroups(7)). */
function legacyHierarchies(): string[][] {
  return readFileSync('/proc/self/cgroup', 'utf8')
    .split('\n')
    .map(line => line.split(':')[1] ?? '')
    .filter(names => names !== '' && !names.startsWith('name='))
    .map(names => names.split(','));
}

/**
 * Watches a version 2 cgroup for processes that the kernel kills because memory ran out. The count of a cgroup holds its
 * children's, so a parent of the step's cgroup outlives it.
 *
 * @param path The parent's path below the cgroup root, which is made.
 */
export function watchOutOfMemory(path: string): { readonly kills: () => number } & Disposable {
  const directory = join(CGROUP, path);
  mkdirSync(directory, { recursive: true });
  return {
    kills() {
      try {
        const count = /^oom_kill (\d+)$/m.exec(readFileSync(join(directory, 'memory.events'), 'utf8'))?.[1];
        return Number(count ?? 0);
      } catch {
        return 0;
      }
    },
    [Symbol.dispose]() {
      try {
        rmdirSync(directory);
      } catch {
        // A process that cannot be killed yet keeps it; the next step does not need it gone.
      }
    },
  };
}
