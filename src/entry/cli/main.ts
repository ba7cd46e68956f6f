import { Command, CommanderError } from 'commander';
import { addBuildCommand } from './build.ts';
import { reportError } from './report-error.ts';
import { version } from './version.ts';

const program = new Command('outcrop')
  .description(
    'Builds container images the way BuildKit does, without a daemon, and shows why every step was or was not cached.',
  )
  .version(version(), '-v, --version', 'print the version')
  .helpOption('-h, --help', 'print this help')
  .showSuggestionAfterError()
  .configureHelp({ showGlobalOptions: true })
  .exitOverride();

addBuildCommand(program);

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode;
  else process.exitCode = reportError(error, process.argv.includes('--debug') || process.argv.includes('-D'));
}
