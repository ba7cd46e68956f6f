import type { Command } from 'commander';
import type { PruneFlags } from './run-prune.ts';

/** Adds `outcrop prune`. */
export function addPruneCommand(program: Command): void {
  program
    .command('prune')
    .summary('make room: remove what the cache keeps')
    .description(
      'Remove what the cache keeps, longest unused first, and blobs that nothing needs. Named images stay whole. Without a limit on space everything that fits goes. Running builds are waited for.',
    )
    .option('-a, --all', 'also cached steps that named images consist of; their images stay')
    .option('--filter <filter>', 'only what fits: until=24h, id=…, type=…, description~=…, mutable', collect, [])
    .option('--max-used-space <bytes>', 'remove until the cache takes no more than this, such as 10gb')
    .option('--reserved-space <bytes>', 'never go below this')
    .option('--keep-storage <bytes>', 'older name of --reserved-space')
    .option('--min-free-space <bytes>', 'remove until this much of the disk is free')
    .option('-f, --force', 'do not ask')
    .option('--verbose', 'show everything that is known of what is removed')
    .helpOption('-h, --help', 'print this help')
    .action(async (flags: PruneFlags) => {
      const { asStoreOwner } = await import('./store-owner.ts');
      process.exitCode = await asStoreOwner(async () => {
        const { runPrune } = await import('./run-prune.ts');
        return runPrune(flags, process);
      });
    });
}

function collect(value: string, previous: readonly string[]): string[] {
  return [...previous, value];
}
