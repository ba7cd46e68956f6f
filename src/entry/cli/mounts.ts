import type { Command } from 'commander';
import type { ExportFlags, JsonFlag, RemoveMountFlags } from './run-mounts.ts';

/** Adds `outcrop mounts` and what it does with the directories of `RUN --mount=type=cache`. */
export function addMountsCommand(program: Command): void {
  const mounts = program
    .command('mounts')
    .summary('list cache mounts, look into them, remove them, carry them to other machines')
    .description(
      'Handle the directories that RUN --mount=type=cache keeps from build to build. A MOUNT is an id of the list or its beginning, or the name of a cache: its id= or its target.',
    )
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [command]', 'print the help of a command');
  mounts
    .command('ls', { isDefault: true })
    .summary('list cache mounts, largest first')
    .option('--json', 'print one JSON object a line, with exact times and bytes')
    .helpOption('-h, --help', 'print this help')
    .action((flags: JsonFlag) => run(({ listMounts }) => listMounts(flags)));
  mounts
    .command('inspect')
    .summary('show what a cache mount holds')
    .argument('<MOUNT>', 'the cache mount')
    .option('--json', 'print it as JSON')
    .helpOption('-h, --help', 'print this help')
    .action((mount: string, flags: JsonFlag) => run(({ inspectMount }) => inspectMount(mount, flags)));
  mounts
    .command('rm')
    .summary('remove cache mounts; what a step uses now stays')
    .argument('[MOUNT...]', 'the cache mounts')
    .option('-a, --all', 'all of them')
    .helpOption('-h, --help', 'print this help')
    .action((names: string[], flags: RemoveMountFlags) => run(({ removeMounts }) => removeMounts(names, flags)));
  mounts
    .command('export')
    .summary('write the files of a cache mount as a tar archive')
    .argument('<MOUNT>', 'the cache mount')
    .option('-o, --output <path>', 'file to write (default: standard output)')
    .helpOption('-h, --help', 'print this help')
    .action((mount: string, flags: ExportFlags) => run(({ exportMount }) => exportMount(mount, flags, process.stdout)));
  mounts
    .command('import')
    .summary('fill a cache that has no mount yet with the files of a tar archive')
    .argument('<CACHE>', 'the cache, as outcrop mounts ls names it: the id= or the target of the mount')
    .argument('<path>', 'the archive; - is standard input')
    .helpOption('-h, --help', 'print this help')
    .action((cache: string, path: string) => run(({ importMount }) => importMount(cache, path)));
}

/** Does something with the mounts of a root, as who owns them. */
async function run(work: (commands: typeof import('./run-mounts.ts')) => Promise<string>): Promise<void> {
  const { asStoreOwner } = await import('./store-owner.ts');
  process.exitCode = await asStoreOwner(async () => {
    process.stdout.write(await work(await import('./run-mounts.ts')));
    return 0;
  });
}
