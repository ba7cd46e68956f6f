import type { Command } from 'commander';
import type { RmiFlags } from './run-rmi.ts';

/** Adds `outcrop rmi`. */
export function addRmiCommand(program: Command): void {
  program
    .command('rmi')
    .summary('remove images')
    .description('Take names away from images in the local store. What no other image and no cache needs is deleted.')
    .argument('<image...>', 'names, or the first digits of ids')
    .option('-f, --force', 'no error for images that are not there; remove an id with several names')
    .option('--no-prune', 'only take the names away; a later prune deletes the rest')
    .helpOption('-h, --help', 'print this help')
    .action(async (names: string[], flags: RmiFlags) => {
      const { runRmi } = await import('./run-rmi.ts');
      process.exitCode = await runRmi(names, flags, process);
    });
}
