type Pattern = readonly [pattern: RegExp, say: (named: string, program: string) => string];

const START = 'run failed: unable to start container process:';

const CRUN: readonly Pattern[] = [
  [
    /^executable file `(.*)` not found in \$PATH: No such file or directory$/,
    program =>
      program.includes('/')
        ? `${START} exec: "${program}": stat ${program}: no such file or directory`
        : `${START} exec: "${program}": executable file not found in $PATH`,
  ],
  [
    /^open executable: (?:Operation not permitted|Permission denied)$/,
    (_, program) => `${START} exec: "${program}": permission denied`,
  ],
  [/^chdir `(.*)`: Not a directory$/, path => `${START} error during container init: mkdir ${path}: not a directory`],
  [/^exec container process `(.*)`: Exec format error$/, program => `exec ${program}: exec format error`],
  [
    /^exec container process \(missing dynamic library\?\) `(.*)`: No such file or directory$/,
    program => `exec ${program}: no such file or directory`,
  ],
];

/**
 * Says in runc's words why crun could not start a step, so that builds read the same under both. What crun says is a
 * single line, and the first output of all.
 *
 * @param program The step's first argument.
 * @returns The line to show instead, or undefined if this is something else.
 */
export function crunStartFailure(output: Uint8Array, program: string): string | undefined {
  if (output.length > 4096) return undefined;
  const line = Buffer.from(output)
    .toString('utf8')
    .replace(/\n$/, '')
    .replace(/^crun: /, '');
  for (const [pattern, say] of CRUN) {
    const match = pattern.exec(line);
    if (match === null) continue;
    const text = say(match[1] ?? '', program);
    return `${text.startsWith(START) ? 'crun ' : ''}${text}\n`;
  }
  return undefined;
}
