import { type Command, Option } from 'commander';
import type { CompareFlags } from './run-compare.ts';

/** Flags of `outcrop build` that keys depend on. */
const WITH =
  /^--(file|target|build-arg|build-context|platform|label|secret|ssh|allow|pull|network|add-host|shm-size|ulimit|cgroup-parent)$/;

/** Adds `outcrop compare`, with the flags of `outcrop build` that keys depend on. */
export function addCompareCommand(program: Command): void {
  const compare = program
    .command('compare')
    .summary("set BuildKit's way of caching beside that of the builder before it")
    .description(
      "Say, instruction by instruction, what a build would find of an earlier state in BuildKit's model and in that of the builder that docker had before, and why the two differ. Nothing is run unless --run is given. A STATE is tree (the directory as it is), none (nothing was built), a git revision, or the number or id of a build of `outcrop history ls`.",
    )
    .argument('<PATH>', 'build context, a directory')
    .option('--against <state>', 'what was built before (default: HEAD in a git repository, else none)')
    .option('--to <state>', 'what is built then', 'tree')
    .option('--run', 'build both states with both builders, in a place of their own, and tell what really happened')
    .helpOption('-h, --help', 'print this help');
  for (const option of program.commands.find(command => command.name() === 'build')?.options ?? []) {
    if (WITH.test(option.long ?? '')) compare.addOption(option);
  }
  compare
    .addOption(new Option('--json', 'print everything that is known as JSON (docs/compare.schema.json)'))
    .action(async (path: string, flags: CompareFlags) => {
      const { runCompare } = await import('./run-compare.ts');
      process.exitCode = await runCompare(path, flags);
    });
}
