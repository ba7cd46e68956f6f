import type { Command } from 'commander';
import { version } from './version.ts';

/** Adds `outcrop version`. */
export function addVersionCommand(program: Command): void {
  program
    .command('version')
    .summary('print the version, and what it runs on')
    .description('Print the version of outcrop, of Node and of the kernel, and where state is kept.')
    .option('--json', 'print it as JSON')
    .helpOption('-h, --help', 'print this help')
    .action(async ({ json }: { readonly json?: true }) => {
      const [{ release }, { outcropRoot }] = await Promise.all([
        import('node:os'),
        import('../../host/config/paths.ts'),
      ]);
      const facts = {
        outcrop: version(),
        node: process.versions.node,
        platform: `${process.platform}/${process.arch}`,
        kernel: release(),
        root: outcropRoot(),
      };
      const lines = Object.entries(facts).map(([name, value]) => `${name.padEnd(10)}${value}\n`);
      process.stdout.write(json ? `${JSON.stringify(facts)}\n` : lines.join(''));
    });
}
