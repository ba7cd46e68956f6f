import type { Command } from 'commander';
import type { CacheFlags } from './run-cache.ts';

const CACHE = 'a reference, a directory, or type=… with attributes as --cache-from takes them';

/** Adds `outcrop cache` and what it does with caches that travel. */
export function addCacheCommand(program: Command): void {
  const cache = program
    .command('cache')
    .summary('look into an exported cache')
    .description(
      'Look into a cache that --cache-to or BuildKit exported: a reference of a registry, a directory, or type=… with the attributes that --cache-from takes. Nothing is changed.',
    )
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [command]', 'print the help of a command');
  cache
    .command('inspect')
    .summary('show what a cache holds: records, layers, sizes, ages')
    .argument('<CACHE>', CACHE)
    .option('--json', 'print everything that is known as JSON')
    .helpOption('-h, --help', 'print this help')
    .action((name: string, flags: CacheFlags) => run(({ runInspect }) => runInspect(name, flags)));
  cache
    .command('verify')
    .summary('read every blob of a cache and check its size and digest')
    .argument('<CACHE>', CACHE)
    .helpOption('-h, --help', 'print this help')
    .action((name: string) => run(({ runVerify }) => runVerify(name)));
  cache
    .command('diff')
    .summary('show what one cache holds that the other does not; ends with 1 when they differ')
    .argument('<A>', CACHE)
    .argument('<B>', 'the other cache')
    .helpOption('-h, --help', 'print this help')
    .action((first: string, second: string) => run(({ runDiff }) => runDiff(first, second)));
}

interface Outcome {
  readonly text: string;
  readonly exitCode: number;
}

async function run(work: (commands: typeof import('./run-cache.ts')) => Promise<Outcome>): Promise<void> {
  const { asStoreOwner } = await import('./store-owner.ts');
  process.exitCode = await asStoreOwner(async () => {
    const { text, exitCode } = await work(await import('./run-cache.ts'));
    process.stdout.write(text);
    return exitCode;
  });
}
