import type { Command } from 'commander';
import type { ReportFlags } from './run-report.ts';

/** Adds `outcrop report`. */
export function addReportCommand(program: Command): void {
  program
    .command('report')
    .summary('write a page that shows a build')
    .description(
      'Write one self-contained HTML page that shows a build of the history: its steps and why they ran, timeline, graph, keys, output, layers. A BUILD is a number or an id of `outcrop history ls`, the newest if none is given.',
    )
    .argument('[BUILD]', 'the build')
    .option('-o, --output <file>', 'write the page to this file, - for standard output', 'report.html')
    .option('--against <build>', 'compare with this build instead of the nearest earlier one')
    .helpOption('-h, --help', 'print this help')
    .action(async (build: string | undefined, flags: ReportFlags) => {
      const { asStoreOwner } = await import('./store-owner.ts');
      process.exitCode = await asStoreOwner(async () => {
        const { runReport } = await import('./run-report.ts');
        process.stdout.write(await runReport(build, flags));
        return 0;
      });
    });
}
