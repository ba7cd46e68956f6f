/**
 * Files that people did not write: those of the vectors, cut up and spliced. OUTCROP_FUZZ_SECONDS makes the run as long as one
 * likes, OUTCROP_FUZZ_SEED repeats one.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { PatternSyntaxError } from '../../wire/fsutil/path-match.ts';
import { compilePatterns } from '../../wire/fsutil/patterns.ts';
import { digestOf } from '../../wire/oci/digest.ts';
import { DockerfileError } from '../dockerfile/error.ts';
import { ExpansionError, expandForDisplay, expandHeredoc, expandWord, expandWords } from '../dockerfile/expand.ts';
import { IgnoreFileError, readIgnoreFile } from '../dockerfile/ignore-file.ts';
import { CheckOptionsError } from '../dockerfile/lint/check-options.ts';
import { lintFile } from '../dockerfile/lint/lint-file.ts';
import { parseFile } from '../dockerfile/parse-file.ts';
import { checkDockerfile } from './plan-dockerfile.ts';
import { recordedHost } from './testing-host.ts';

const SECONDS = Number(process.env['OUTCROP_FUZZ_SECONDS'] ?? 2);
const SEED = Number(process.env['OUTCROP_FUZZ_SEED'] ?? 20261124);
const FOLDER = new URL('../../../test/vectors/dockerfile/', import.meta.url);

const corpus = ['errors/', 'lint/', 'outline/'].flatMap(folder =>
  readdirSync(new URL(folder, FOLDER)).flatMap(name =>
    name.endsWith('.Dockerfile') ? [readFileSync(new URL(folder + name, FOLDER))] : [],
  ),
);
const words: readonly string[] = JSON.parse(readFileSync(new URL('expand.json', FOLDER), 'utf8')).cases.map(
  ({ word }: { readonly word: string }) => word,
);

/** What means something to one of the readers. */
const TOKENS = [
  ...['FROM a AS b\n', 'RUN ', 'COPY --from=0 a b\n', 'ADD ', 'ARG A=1\n', 'ENV A=$A', 'ONBUILD ', 'HEALTHCHECK CMD '],
  ...['--mount=type=cache,target=/x', '--chown=$A:0', '--platform=', '--exclude=', 'SHELL ["a"]\n', 'EXPOSE 80'],
  ...[
    '<<EOF',
    '<<-"EOF"',
    '\nEOF\n',
    '<< E',
    '\\\n',
    '\\',
    '`',
    '"',
    "'",
    '["a", "b"]',
    '[',
    ']',
    '#',
    '\n# check=skip=all\n',
  ],
  ...[
    '${',
    '}',
    '$',
    '${A:-',
    '${A##*',
    '${A//',
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
  ...[
    '# escape=`\n',
    '# syntax=docker/dockerfile:1\n',
    '# check=error=true\n',
    '**',
    '*',
    '?',
    '!',
    '[^a]',
    '[z-a]',
    '\\d',
  ],
];

/** Of a variable A. */
const OPERATORS = ['//a*b/c', '##*a*b', '%%a*b*'].map(operator => `\${A${operator}}`).join('');

/** A text of `pool` after some cuts, repeats, and inserted tokens or bytes. */
function mutated(pool: readonly (string | Uint8Array)[]): fc.Arbitrary<Buffer> {
  const edit = fc.record({
    at: fc.nat(),
    cut: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.nat(40)),
    repeat: fc.oneof({ weight: 8, arbitrary: fc.constant(1) }, fc.integer({ min: 2, max: 40 })),
    insert: fc.oneof(
      { weight: 6, arbitrary: fc.constantFrom(...TOKENS).map(token => Buffer.from(token)) },
      fc.uint8Array({ maxLength: 3 }).map(bytes => Buffer.from(bytes)),
      fc
        .record({ from: fc.constantFrom(...pool), start: fc.nat(), length: fc.nat(60) })
        .map(({ from, start, length }) => {
          const bytes = Buffer.from(from as string);
          const first = bytes.length === 0 ? 0 : start % bytes.length;
          return bytes.subarray(first, first + length);
        }),
    ),
  });
  return fc.tuple(fc.constantFrom(...pool), fc.array(edit, { maxLength: 8 })).map(([text, edits]) => {
    let bytes = Buffer.from(text as string);
    for (const { at, cut, repeat, insert } of edits) {
      const place = at % (bytes.length + 1);
      const between = Array.from({ length: repeat }, () => insert);
      bytes = Buffer.concat([bytes.subarray(0, place), ...between, bytes.subarray(place + cut)]);
    }
    return bytes;
  });
}

async function survives<Value>(arbitrary: fc.Arbitrary<Value>, run: (value: Value) => unknown) {
  const property = fc.asyncProperty(arbitrary, async value => {
    const start = performance.now();
    await run(value);
    // A slow machine stops for a while now and then; what is slow twice is slow.
    if (performance.now() - start < SLOW) return;
    const again = performance.now();
    await run(value);
    assert.ok(performance.now() - again < SLOW, 'takes far too long');
  });
  const options = { seed: SEED, numRuns: Number.MAX_SAFE_INTEGER, interruptAfterTimeLimit: SECONDS * 1000 };
  const details = await fc.check(property, { ...options, markInterruptAsFailure: false });
  if (details.failed) assert.fail(fc.defaultReportMessage(details) ?? 'failed');
  return details.numRuns;
}

const SLOW = 1000;

/** Runs `work`; errors of these kinds are answers. */
function answers<Value>(
  work: () => Value,
  ...kinds: readonly (abstract new (
    ...args: never[]
  ) => Error)[]
): Value | undefined {
  try {
    return work();
  } catch (error) {
    if (kinds.some(kind => error instanceof kind)) return undefined;
    throw error;
  }
}

test('any file is parsed, checked and planned, or refused', async t => {
  const config = JSON.stringify({ os: 'linux', architecture: 'amd64', config: { OnBuild: ['RUN x'] } });
  const runs = await survives(mutated(corpus), async bytes => {
    const text = bytes.toString();
    const file = answers(() => parseFile(bytes), DockerfileError);
    if (file) answers(() => lintFile(text, file), DockerfileError, CheckOptionsError);
    const host = recordedHost({
      buildPlatform: 'linux/amd64',
      sessionID: 's',
      image: () => ({ digest: digestOf(config), config: Buffer.from(config) }),
      file: (_, path) => (path === 'Dockerfile' ? bytes : undefined),
    });
    const options = new Map([['build-arg:A', '$A']]);
    const { error } = await checkDockerfile(host, options, AbortSignal.timeout(10_000)).catch(error => ({ error }));
    for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
      // What is thrown by mistake has these names.
      assert.ok(!/^(Type|Range|Reference|Syntax|Assertion|Internal)Error$/.test(cause.name), cause);
    }
  });
  t.diagnostic(`${runs} files`);
});

test('any word is expanded or refused', async t => {
  const variables = new Map([
    ['A', 'value'],
    ['x', 'a/b/a*b'],
    ['E', ''],
  ]);
  const runs = await survives(mutated(words), bytes => {
    const text = bytes.toString();
    for (const escapeChar of ['\\', '`']) {
      for (const expand of [expandWord, expandWords, expandForDisplay]) {
        answers(() => expand(text, variables, { escape: escapeChar }), ExpansionError);
      }
    }
    answers(() => expandHeredoc(text, variables), ExpansionError);
  });
  t.diagnostic(`${runs} words`);
});

test('any ignore file is read, and decides about any path, or is refused', async t => {
  const lines = [
    '*.md',
    '!README*',
    '**/a/**/b',
    'a*a*a*a*b',
    '[a-z]?',
    '\\w*',
    '/x/../y/',
    '# no',
    'node_modules',
    '**c**',
  ];
  const paths = fc.array(fc.constantFrom('a', 'b', 'aaaaaaaaaaaaaaaaaaaa', 'node_modules', 'README.md', 'é', '[a'), {
    minLength: 1,
    maxLength: 12,
  });
  const runs = await survives(fc.tuple(mutated([lines.join('\n'), ...lines]), paths), ([bytes, parts]) => {
    const patterns = answers(() => readIgnoreFile(bytes.toString()), IgnoreFileError);
    const matcher = patterns && answers(() => compilePatterns(patterns), PatternSyntaxError);
    if (matcher) answers(() => matcher.matches(parts.join('/')), PatternSyntaxError);
  });
  t.diagnostic(`${runs} ignore files`);
});

test('time grows with the length of what is repeated, not faster', async t => {
  const measure = (piece: string, count: number, run: (text: string) => unknown) => {
    const text = piece.repeat(count);
    let best = Number.POSITIVE_INFINITY;
    for (let i = 0; i < 3; i++) {
      const start = performance.now();
      run(text);
      best = Math.min(best, performance.now() - start);
    }
    return best;
  };
  const readers: Readonly<Record<string, (text: string) => unknown>> = {
    file: text => answers(() => parseFile(`FROM a\n${text}`), DockerfileError),
    line: text => answers(() => parseFile(`FROM a\nRUN ${text.slice(0, 60_000)}`), DockerfileError),
    word: text => answers(() => expandWord(text, new Map([['A', 'aa']])), ExpansionError),
    words: text => answers(() => expandWords(text, new Map([['A', 'a a']])), ExpansionError),
    value: text => answers(() => expandWord(OPERATORS, new Map([['A', text]])), ExpansionError),
    ignore: text => answers(() => readIgnoreFile(text), IgnoreFileError),
  };
  const piece = fc.oneof(
    fc.array(fc.constantFrom(...TOKENS), { minLength: 1, maxLength: 3 }).map(tokens => tokens.join('')),
    mutated(words).map(bytes => bytes.toString().slice(0, 60)),
  );
  let slowest = 0;
  const runs = await survives(fc.tuple(piece, fc.constantFrom(...Object.keys(readers))), ([text, name]) => {
    const run = readers[name];
    if (text === '' || !run) return;
    const count = Math.ceil(4000 / text.length);
    const long = measure(text, count * 4, run);
    slowest = Math.max(slowest, long);
    // Below that the clock says little.
    if (long < 20) return;
    const short = measure(text, count, run);
    assert.ok(
      long < short * 12,
      `${name}: ${JSON.stringify(text)}: ${short} ms, then ${long} ms for four times as much`,
    );
  });
  t.diagnostic(`${runs} pieces, at most ${slowest.toFixed(1)} ms`);
});
