import type { Command } from 'commander';
import type { DuFlags } from './run-du.ts';

/** Adds `outcrop du`. */
export function addDuCommand(program: Command): void {
  program
    .command('du')
    .summary('show what the cache takes')
    .description(
      'Show what takes space: layers and the steps that made them, cache mounts, git repositories. What named images consist of is not reclaimable.',
    )
    .option(
      '--filter <filter>',
      'only what fits: type=…, id=…, until=24h, description~=…, mutable, shared',
      collect,
      [],
    )
    .option('--verbose', 'show everything that is known of each record')
    .option('--json', 'print one JSON object a line, with exact times and bytes')
    .helpOption('-h, --help', 'print this help')
    .action(async (flags: DuFlags) => {
      const { asStoreOwner } = await import('./store-owner.ts');
      process.exitCode = await asStoreOwner(async () => {
        const { runDu } = await import('./run-du.ts');
        process.stdout.write(await runDu(flags));
        return 0;
      });
    });
}

function collect(value: string, previous: readonly string[]): string[] {
  return [...previous, value];
}
