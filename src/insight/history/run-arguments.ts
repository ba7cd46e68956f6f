/** The arguments that a RUN had, where they stand before its command: `|2 A=1 B=2 /bin/sh -c …`. */
interface RunArguments {
  readonly args: readonly (readonly [name: string, value: string])[];
  /** The command behind them. */
  readonly command: string;
}

/**
 * Reads them. Nothing quotes values, so one is taken to go on to what looks like the next argument or like a shell.
 * @returns undefined when there are none
 */
export function runArguments(text: string): RunArguments | undefined {
  const [head, count] = /^\|(\d+) /.exec(text) ?? [];
  if (head === undefined) return undefined;
  const args: [string, string][] = [];
  let command = text.slice(head.length);
  while (args.length < Number(count)) {
    const [all, name, value] = /^([^\s=]+)=(.*?)(?: (?=[^\s=]+=|\/)|$)/s.exec(command) ?? [];
    if (all === undefined || name === undefined || value === undefined) break;
    args.push([name, value]);
    command = command.slice(all.length);
  }
  return { args, command };
}
