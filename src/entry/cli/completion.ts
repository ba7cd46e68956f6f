import type { Command } from 'commander';

/** Adds `outcrop completion`. */
export function addCompletionCommand(program: Command): void {
  program
    .command('completion')
    .summary('print a completion script for your shell')
    .description(
      `Print a script that lets the shell complete commands, options and values.

  bash   outcrop completion bash > /etc/bash_completion.d/outcrop
  zsh    outcrop completion zsh > "\${fpath[1]}/_outcrop"
  fish   outcrop completion fish > ~/.config/fish/completions/outcrop.fish`,
    )
    .addArgument(program.createArgument('<shell>', 'the shell').choices(['bash', 'zsh', 'fish']))
    .helpOption('-h, --help', 'print this help')
    .action(async (shell: string) => {
      const { completionScript } = await import('./completion-script.ts');
      process.stdout.write(completionScript(program, shell));
    });
}
