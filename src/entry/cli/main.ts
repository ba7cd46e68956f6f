import { CommanderError } from 'commander';
import { plainArguments } from './argument-forms.ts';
import { createProgram } from './program.ts';
import { reportError } from './report-error.ts';

/** What Node answers, too, for a module that waits for something that never comes. */
const UNFINISHED = 13;

async function main(): Promise<void> {
  process.exitCode = UNFINISHED;
  try {
    const program = createProgram();
    await program.parseAsync(plainArguments(program, process.argv.slice(2)), { from: 'user' });
    if (process.exitCode === UNFINISHED) process.exitCode = 0;
  } catch (error) {
    if (error instanceof CommanderError) process.exitCode = error.exitCode;
    else process.exitCode = reportError(error, process.argv.includes('--debug') || process.argv.includes('-D'));
  }
  // At once: nothing is left to wait for, and what is left to close (threads, the database) closes with the process.
  process.exit();
}

void main();
