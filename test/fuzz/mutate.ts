import type { Random } from './random.ts';

/** What means something to one of the readers. */
export const TOKENS = [
  ...['FROM a AS b\n', 'RUN ', 'COPY --from=0 a b\n', 'ADD ', 'ARG A=1\n', 'ENV A=$A', 'ONBUILD ', 'HEALTHCHECK CMD '],
  ...['--mount=type=cache,target=/x', '--chown=$A:0', '--platform=', '--exclude=', 'SHELL ["a"]\n', 'EXPOSE 80'],
  ...['<<EOF', '<<-"EOF"', '\nEOF\n', '<< E', '\\\n', '\\', '`', '"', "'", '["a", "b"]', '[', ']', '#'],
  ...['\n# check=skip=all\n', '# escape=`\n', '# syntax=docker/dockerfile:1\n', '# check=error=true\n'],
  ...[
    `\${`,
    '}',
    '$',
    `\${A:-`,
    `\${A##*`,
    `\${A//`,
    '/',
    ':',
    '=',
    ' ',
    '\t',
    '\r\n',
    '\n\n',
    '\0',
    '\ufeff',
    '\u2028',
    'é',
  ],
  ...['**', '*', '?', '!', '[^a]', '[z-a]', '\\d', 'x', '<', '(', ')'],
] as const;

/** A text after some cuts, repeats, and inserted tokens, bytes and pieces of `pool`. */
export function mutate(text: Uint8Array, pool: readonly Uint8Array[], random: Random): Buffer {
  let bytes = Buffer.from(text);
  const edits = random.below(8);
  for (let edit = 0; edit < edits; edit++) {
    const place = random.below(bytes.length + 1);
    const cut = random.once(4) ? random.below(40) : 0;
    const repeat = random.once(8) ? 2 + random.below(39) : 1;
    const between = Array.from({ length: repeat }, insertion);
    bytes = Buffer.concat([bytes.subarray(0, place), ...between, bytes.subarray(place + cut)]);
  }
  return bytes;

  function insertion(): Uint8Array {
    if (!random.once(3)) return Buffer.from(random.pick(TOKENS));
    if (random.once(2)) return Buffer.from(random.some(3, () => random.below(256)));
    const from = random.pick(pool) ?? Buffer.of();
    const start = random.below(from.length + 1);
    return from.subarray(start, start + random.below(60));
  }
}
