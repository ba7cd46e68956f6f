import { type Command, Option } from 'commander';
import type { PlanFlags } from './run-plan.ts';

/** Flags of `outcrop build` that say nothing about what is looked up. */
const WITHOUT =
  /^--(tag|output|push|load|iidfile|metadata-file|provenance|sbom|attest|annotation|call|check|cache-to|cold-mounts|parallel|builder|legacy|rm|rm=.*|force-rm|squash|progress|quiet|why|why-file|fail-on)$/;

/** Adds `outcrop plan`, with the flags of `outcrop build` that what is looked up depends on. */
export function addPlanCommand(program: Command): void {
  const plan = program
    .command('plan')
    .summary('say what a build would take from the cache and what it would run now')
    .description(
      'Say what a build would take from the cache and what it would run now, and why. Nothing is run and nothing is written but what was read. Flags mean what they mean to outcrop build.',
    )
    .argument('<PATH | URL | ->', 'build context')
    .helpOption('-h, --help', 'print this help');
  for (const option of program.commands.find(command => command.name() === 'build')?.options ?? []) {
    if (!WITHOUT.test(option.long ?? '')) plan.addOption(option);
  }
  plan
    .addOption(new Option('--json', 'print everything that is known as JSON (docs/why.schema.json)'))
    .action(async (path: string, flags: PlanFlags) => {
      const { runPlan } = await import('./run-plan.ts');
      process.exitCode = await runPlan(path, flags);
    });
}
