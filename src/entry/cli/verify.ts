import { type Command, Option } from 'commander';
import type { VerifyFlags } from './run-verify.ts';

/** Flags of `outcrop build` that say nothing about the files of the result, or with which there is nothing to compare. */
const WITHOUT =
  /^--(tag|output|push|load|iidfile|metadata-file|provenance|sbom|attest|annotation|call|check|cache-to|cold-mounts|builder|legacy|rm|rm=.*|force-rm|squash|why|why-file|fail-on)$/;

/** Adds `outcrop verify`, with the flags of `outcrop build` that the files of the result depend on. */
export function addVerifyCommand(program: Command): void {
  const verify = program
    .command('verify')
    .summary('build with empty and with filled cache mounts and compare the results')
    .description(
      'Build once with empty and once with filled cache mounts and report every file of the result that differs. The mounts of this machine are only read: the second build gets copies, or what the first one left. Steps without cache mounts below come from the cache; nothing of the builds is kept. Ends with 1 when anything differs. Flags mean what they mean to outcrop build.',
    )
    .argument('<PATH | URL | ->', 'build context')
    .helpOption('-h, --help', 'print this help');
  for (const option of program.commands.find(command => command.name() === 'build')?.options ?? []) {
    if (!WITHOUT.test(option.long ?? '')) verify.addOption(option);
  }
  verify
    .addOption(new Option('--json', 'print everything that was found as JSON'))
    .action(async (path: string, flags: VerifyFlags) => {
      const { runVerify } = await import('./run-verify.ts');
      process.exitCode = await runVerify(path, flags);
    });
}
