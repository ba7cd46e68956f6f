import type { Command } from 'commander';
import type { ListFlags, LogFlags, RemoveFlags } from './run-history.ts';

/** Adds `outcrop history` and what it does with builds. */
export function addHistoryCommand(program: Command): void {
  const history = program
    .command('history')
    .summary('list builds, and show what is known of one')
    .description(
      'List the builds that were made on this machine, and show what is known of one. A BUILD is a number or an id of the list, the newest if none is given.',
    )
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [command]', 'print the help of a command');
  history
    .command('ls', { isDefault: true })
    .summary('list builds, newest first')
    .option('-n, --limit <n>', 'at most so many', '20')
    .option('--json', 'print one JSON object a line')
    .helpOption('-h, --help', 'print this help')
    .action((flags: ListFlags) => run(async ({ listBuilds }) => listBuilds(flags)));
  history
    .command('inspect')
    .summary('show a build: what it was asked for, its steps and how each ended')
    .argument('[BUILD]', 'the build')
    .option('--json', 'print everything that is kept as JSON')
    .helpOption('-h, --help', 'print this help')
    .action((build: string | undefined, flags: { json?: true }) =>
      run(async ({ inspectBuild }) => inspectBuild(build, flags)),
    );
  history
    .command('logs')
    .summary('print what the steps of a build printed; of each its last 8 KB are kept')
    .argument('[BUILD]', 'the build')
    .argument('[STEP]', 'one step, by its text, STAGE/NUMBER or :LINE')
    .option('--failed', 'only steps that failed')
    .helpOption('-h, --help', 'print this help')
    .action((build: string | undefined, step: string | undefined, flags: LogFlags) =>
      run(async ({ printLogs }) => printLogs(build, step, flags)),
    );
  history
    .command('export')
    .summary('write a build with all that went into its keys as JSON, to look at elsewhere')
    .argument('[BUILD]', 'the build')
    .option('-o, --output <path>', 'file to write (default: standard output)')
    .helpOption('-h, --help', 'print this help')
    .action((build: string | undefined, flags: { output?: string }) =>
      run(async ({ exportBuild }) => exportBuild(build, flags)),
    );
  history
    .command('rm')
    .summary('forget builds; images and cached results stay')
    .argument('[BUILD...]', 'the builds')
    .option('-a, --all', 'all of them')
    .helpOption('-h, --help', 'print this help')
    .action((builds: string[], flags: RemoveFlags) => run(async ({ removeBuilds }) => removeBuilds(builds, flags)));
}

/** Does something with the history, as who owns it. */
async function run(work: (commands: typeof import('./run-history.ts')) => Promise<string>): Promise<void> {
  const { asStoreOwner } = await import('./store-owner.ts');
  process.exitCode = await asStoreOwner(async () => {
    process.stdout.write(await work(await import('./run-history.ts')));
    return 0;
  });
}
