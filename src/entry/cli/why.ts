import type { Command } from 'commander';
import type { WhyFlags } from './run-why.ts';

/** Adds `outcrop why`. */
export function addWhyCommand(program: Command): void {
  program
    .command('why')
    .summary('say why steps of a build were cached or ran')
    .description(
      'Say for each step of a build where its result came from, or what exactly made it run. A BUILD is a number or an id of `outcrop history ls`, or the name of the image that it made, the newest if none is given; a STEP is named by its text, by STAGE/NUMBER or by :LINE.',
    )
    .argument('[BUILD]', 'the build')
    .argument('[STEP]', 'the step to explain in full')
    .option(
      '--against <build>',
      'compare with this build, or the one that made this image, instead of the nearest earlier one',
    )
    .option('--json', 'print everything that is known as JSON (docs/why.schema.json)')
    .helpOption('-h, --help', 'print this help')
    .action(async (first: string | undefined, second: string | undefined, flags: WhyFlags) => {
      const { asStoreOwner } = await import('./store-owner.ts');
      process.exitCode = await asStoreOwner(async () => {
        const { runWhy } = await import('./run-why.ts');
        const words = [first, second].filter(word => word !== undefined);
        process.stdout.write(runWhy(words, flags));
        return 0;
      });
    });
}
