import { Command, Help, type Option } from 'commander';
import { addBuildCommand } from './build.ts';
import { addCacheCommand } from './cache.ts';
import { addCompareCommand } from './compare.ts';
import { addCompletionCommand } from './completion.ts';
import { addDuCommand } from './du.ts';
import { addHistoryCommand } from './history.ts';
import { addImagesCommand } from './images.ts';
import { addMountsCommand } from './mounts.ts';
import { addPlanCommand } from './plan.ts';
import { addPruneCommand } from './prune.ts';
import { addReportCommand } from './report.ts';
import { addRmiCommand } from './rmi.ts';
import { addServeCommand } from './serve.ts';
import { addVersionCommand } from './show-version.ts';
import { addVerifyCommand } from './verify.ts';
import { version } from './version.ts';
import { addWhyCommand } from './why.ts';

/** Lines of help are no longer than this, however wide the terminal is. */
const HELP_WIDTH = 100;

const EXAMPLES = `
Examples:
  outcrop build -t my-api .                    build the image my-api from ./Dockerfile
  outcrop build --target test -o out .         write what the stage test made to ./out
  outcrop build -t registry/my-api --push .    build and push
  outcrop prune --filter until=7d              make room: what was not used for a week

The options of a command: outcrop COMMAND --help`;

const plain = new Help();

/** Without the defaults that say nothing: an empty list. */
function optionDescription(option: Option): string {
  const text = plain.optionDescription(option);
  return Array.isArray(option.defaultValue) ? option.description : text;
}

/** A command and its arguments. */
function subcommandTerm(command: Command): string {
  return `${command.name()} ${command.usage().replace(/^\[options\] ?/, '')}`.trimEnd();
}

function commandUsage(command: Command): string {
  const words = [command.name(), command.usage()];
  for (let { parent } = command; parent; { parent } = parent) words.unshift(parent.name());
  return words.join(' ');
}

/** The whole command line. What a command does is loaded when it runs. */
export function createProgram(): Command {
  const program = new Command('outcrop')
    .description(
      'Builds container images the way BuildKit does, without a daemon, and shows why every step was or was not cached.',
    )
    .version(version(), '-v, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [command]', 'print the help of a command')
    .showSuggestionAfterError()
    .configureHelp({ optionDescription, subcommandTerm, commandUsage })
    .addHelpText('after', EXAMPLES)
    .configureOutput({
      getOutHelpWidth: () => Math.min(process.stdout.columns ?? HELP_WIDTH, HELP_WIDTH),
      getErrHelpWidth: () => Math.min(process.stderr.columns ?? HELP_WIDTH, HELP_WIDTH),
    })
    .exitOverride();
  addBuildCommand(program);
  addPlanCommand(program);
  addVerifyCommand(program);
  addWhyCommand(program);
  addCompareCommand(program);
  addReportCommand(program);
  addHistoryCommand(program);
  addImagesCommand(program);
  addRmiCommand(program);
  addDuCommand(program);
  addPruneCommand(program);
  addCacheCommand(program);
  addMountsCommand(program);
  addServeCommand(program);
  addCompletionCommand(program);
  addVersionCommand(program);
  return program;
}
