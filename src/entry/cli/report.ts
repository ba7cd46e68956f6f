import type { Command } from 'commander';
import { outcropRoot } from '../../host/config/paths.ts';
import { UsageError } from './errors.ts';
import { interruptSignal } from './interrupt.ts';
import type { ReportFlags } from './run-report.ts';

interface ServeFlags {
  readonly serve?: true;
  readonly port: string;
}

/** Adds `outcrop report`. */
export function addReportCommand(program: Command): void {
  program
    .command('report')
    .summary('write a page that shows a build, or serve all')
    .description(
      'Write one self-contained HTML page that shows a build of the history: its steps and why they ran, timeline, graph, keys, output, layers. A BUILD is a number or an id of `outcrop history ls`, the newest if none is given. With --serve all builds are shown to browsers of this machine.',
    )
    .argument('[BUILD]', 'the build')
    .option('-o, --output <file>', 'write the page to this file, - for standard output', 'report.html')
    .option('--against <build>', 'set this build beside it, and compare with it instead of the nearest earlier one')
    .option('--serve', 'serve the list of builds and their pages on 127.0.0.1 until Ctrl-C')
    .option('--port <n>', 'with --serve: the port, 0 for any that is free', '7850')
    .helpOption('-h, --help', 'print this help')
    .action(async (build: string | undefined, flags: ReportFlags & ServeFlags) => {
      const { asStoreOwner } = await import('./store-owner.ts');
      process.exitCode = await asStoreOwner(async () => {
        if (flags.serve) return serve(flags.port);
        const { runReport } = await import('./run-report.ts');
        process.stdout.write(await runReport(build, flags));
        return 0;
      });
    });
}

async function serve(text: string): Promise<number> {
  const port = Number(text);
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new UsageError(`--port ${text}: expected a port`);
  const { serveReports } = await import('./serve-report.ts');
  using interrupt = interruptSignal();
  const tell = (url: string) => void process.stdout.write(`${url}   (Ctrl-C ends it)\n`);
  await serveReports(outcropRoot(), port, tell, interrupt.signal);
  return 0;
}
