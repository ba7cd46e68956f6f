import { createInterface } from 'node:readline/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { pruneCache } from '../../engine/cache/prune.ts';
import type { PrunePolicy } from '../../engine/cache/prune-policy.ts';
import { ownStore } from '../../store/lock.ts';
import { UsageError } from './errors.ts';
import { interruptSignal } from './interrupt.ts';
import { openCache } from './open-cache.ts';
import { formatBytes, parseBytes } from './units.ts';
import { parseUsageOptions } from './usage-options.ts';
import { totalLines, usageBlocks, usageTable } from './usage-table.ts';

/** Flags of `outcrop prune`. */
export interface PruneFlags {
  readonly all?: true;
  readonly filter: readonly string[];
  readonly reservedSpace?: string;
  readonly keepStorage?: string;
  readonly maxUsedSpace?: string;
  readonly minFreeSpace?: string;
  readonly force?: true;
  readonly verbose?: true;
}

/** The streams that pruning talks through. */
interface Terminal {
  readonly stdin: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  readonly stdout: { write(text: string): unknown };
  readonly stderr: NodeJS.WritableStream;
}

/** How long builds are waited for without a word, in milliseconds. */
const PATIENCE = 500;

/**
 * Runs `outcrop prune`.
 * @returns the exit code: 0, 1 when the answer was no, 130 when it was interrupted.
 * @throws UsageError for flags that cannot be obeyed.
 */
export async function runPrune(flags: PruneFlags, terminal: Terminal, root?: string): Promise<number> {
  const policy = prunePolicy(flags);
  if (!flags.force && !(await confirm(flags.all ?? false, terminal))) return 1;
  await using stores = openCache(root);
  if (stores === undefined) {
    terminal.stdout.write(totalLines([['Total', 0]]));
    return 0;
  }
  using interrupt = interruptSignal();
  const { signal } = interrupt;
  try {
    using _lock = await waitForStore(stores.root, terminal, signal);
    const { removed, unreferenced, reclaimed } = await pruneCache(stores, policy, signal);
    const now = Date.now();
    if (removed.length > 0) terminal.stdout.write(flags.verbose ? usageBlocks(removed, now) : usageTable(removed, now));
    if (unreferenced.count > 0) {
      const blobs = unreferenced.count === 1 ? '1 blob' : `${unreferenced.count} blobs`;
      terminal.stdout.write(`and ${blobs} that nothing needed, ${formatBytes(unreferenced.size)}\n`);
    }
    terminal.stdout.write(totalLines([['Total', reclaimed]]));
    return 0;
  } catch (error) {
    if (!signal.aborted) throw error;
    terminal.stderr.write('Interrupted. What was removed is removed; the cache is sound.\n');
    return 130;
  }
}

/** The policy that flags ask for. @throws UsageError */
export function prunePolicy(flags: PruneFlags): PrunePolicy {
  const { filter, unusedFor } = parseUsageOptions(flags.filter);
  const bytes = (text: string | undefined, flag: string) => (text === undefined ? undefined : parseBytes(text, flag));
  const reservedSpace = bytes(flags.reservedSpace, '--reserved-space') ?? bytes(flags.keepStorage, '--keep-storage');
  const maxUsedSpace = bytes(flags.maxUsedSpace, '--max-used-space');
  const minFreeSpace = bytes(flags.minFreeSpace, '--min-free-space');
  return {
    all: flags.all ?? false,
    ...(filter === undefined ? {} : { filter }),
    ...(unusedFor === undefined ? {} : { unusedFor }),
    ...(reservedSpace === undefined ? {} : { reservedSpace }),
    ...(maxUsedSpace === undefined ? {} : { maxUsedSpace }),
    ...(minFreeSpace === undefined ? {} : { minFreeSpace }),
  };
}

async function confirm(all: boolean, { stdin, stderr }: Terminal): Promise<boolean> {
  if (!stdin.isTTY) throw new UsageError('prune asks before it removes anything: give --force where nobody can answer');
  const what = all ? 'all cached steps, cache mounts and repositories' : 'everything in the cache that no image needs';
  const questions = createInterface({ input: stdin, output: stderr });
  try {
    const answer = await questions.question(`This removes ${what}. Named images stay. Go on? [y/N] `);
    return /^y(es)?$/i.test(answer.trim());
  } finally {
    questions.close();
  }
}

/** The lock of the store, alone; says what it waits for when that takes a while. */
async function waitForStore(root: string, { stderr }: Terminal, signal: AbortSignal): Promise<Disposable> {
  const done = new AbortController();
  const note = delay(PATIENCE, undefined, { signal: done.signal }).then(
    () => stderr.write('Waiting for running builds to end…\n'),
    () => undefined,
  );
  try {
    return await ownStore(root, signal);
  } finally {
    done.abort();
    await note;
  }
}
