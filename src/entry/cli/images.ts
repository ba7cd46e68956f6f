import type { Command } from 'commander';
import type { ImagesFlags } from './run-images.ts';

/** Adds `outcrop images`. */
export function addImagesCommand(program: Command): void {
  program
    .command('images')
    .summary('list the images that were built here')
    .description('List the images in the local store: what was built with -t and kept, newest first.')
    .argument('[name]', 'only images of this repository, or this very name')
    .option('-q, --quiet', 'print image ids only')
    .option('--names', 'print names only')
    .option('--digests', 'show the digests of manifests, which registries know images by')
    .option('--no-trunc', 'do not shorten ids')
    .option('--json', 'print one JSON object a line, with exact times and bytes')
    .helpOption('-h, --help', 'print this help')
    .action(async (name: string | undefined, flags: ImagesFlags) => {
      const { runImages } = await import('./run-images.ts');
      process.stdout.write(await runImages(name, flags));
    });
}
