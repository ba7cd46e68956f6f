/** What is fuzzed: each reader of the language with the texts it gets and what has to hold for any of them. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { DockerfileError } from '../../src/plan/dockerfile/error.ts';
import {
  ExpansionError,
  expandForDisplay,
  expandHeredoc,
  expandWord,
  expandWords,
} from '../../src/plan/dockerfile/expand.ts';
import { IgnoreFileError, readIgnoreFile } from '../../src/plan/dockerfile/ignore-file.ts';
import { CheckOptionsError } from '../../src/plan/dockerfile/lint/check-options.ts';
import { lintFile } from '../../src/plan/dockerfile/lint/lint-file.ts';
import type { ParsedFile } from '../../src/plan/dockerfile/node.ts';
import { parseFile } from '../../src/plan/dockerfile/parse-file.ts';
import { positionAt } from '../../src/plan/dockerfile/source.ts';
import { listTokens } from '../../src/plan/dockerfile/tokens.ts';
import { checkDockerfile } from '../../src/plan/frontend/plan-dockerfile.ts';
import { recordedHost } from '../../src/plan/frontend/testing-host.ts';
import { createPathFilter } from '../../src/wire/fsutil/path-filter.ts';
import { PatternSyntaxError } from '../../src/wire/fsutil/path-match.ts';
import { compilePatterns } from '../../src/wire/fsutil/patterns.ts';
import { digestOf } from '../../src/wire/oci/digest.ts';
import { generateDockerfile, generateIgnoreFile, generatePath, generateWord } from './generate.ts';
import { mutate } from './mutate.ts';
import type { Random } from './random.ts';

/** A reader under test. */
export interface Subject {
  readonly name: string;
  generate(random: Random): Buffer;
  /** Throws for what is wrong with the reader, not with the text. */
  run(input: Buffer): void | Promise<void>;
}

const FOLDER = new URL('../vectors/dockerfile/', import.meta.url);

const files = ['errors/', 'lint/', 'outline/'].flatMap(folder =>
  readdirSync(new URL(folder, FOLDER)).flatMap(name =>
    name.endsWith('.Dockerfile') ? [readFileSync(new URL(folder + name, FOLDER))] : [],
  ),
);
const words: readonly Buffer[] = JSON.parse(readFileSync(new URL('expand.json', FOLDER), 'utf8')).cases.map(
  ({ word }: { readonly word: string }) => Buffer.from(word),
);
const ignoreFiles: readonly Buffer[] = JSON.parse(readFileSync(new URL('ignore.json', FOLDER), 'utf8')).match.map(
  ({ patterns }: { readonly patterns: readonly string[] }) => Buffer.from(patterns.join('\n')),
);

const VARIABLES: ReadonlyMap<string, string> = new Map([
  ['A', 'value'],
  ['B', ''],
  ['x', 'a/b/a*b\nc'],
  ['PATH', '/a:/b c'],
]);

type ErrorClass = abstract new (...args: never[]) => Error;

/** Runs `work`; errors of these kinds are answers, and come out as undefined. */
export function answer<Value>(work: () => Value, ...kinds: readonly ErrorClass[]): Value | undefined {
  try {
    return work();
  } catch (error) {
    if (kinds.some(kind => error instanceof kind)) return undefined;
    throw error;
  }
}

function source(random: Random, pool: readonly Buffer[], generate: (random: Random) => string): Buffer {
  if (random.once(3)) return mutate(random.pick(pool) ?? Buffer.of(), pool, random);
  const text = Buffer.from(generate(random));
  return random.once(2) ? text : mutate(text, pool, random);
}

const IMAGE = JSON.stringify({
  os: 'linux',
  architecture: 'amd64',
  config: { Env: ['PATH=/bin', 'A=1'], OnBuild: ['RUN x', 'COPY --from=y a $A', 'COPY --from=dev b c'] },
});

export const SUBJECTS: readonly Subject[] = [
  {
    name: 'file',
    generate: random => source(random, files, generateDockerfile),
    run(input) {
      const file = answer(() => parseFile(input), DockerfileError);
      if (file === undefined) return;
      assert.deepEqual(parseFile(input), file, 'the same bytes are read differently a second time');
      positionsHold(input, file);
      answer(() => lintFile(input.toString(), file), DockerfileError, CheckOptionsError);
    },
  },
  {
    name: 'plan',
    generate: random => source(random, files, generateDockerfile),
    async run(input) {
      const host = recordedHost({
        buildPlatform: 'linux/amd64',
        sessionID: 's',
        image: () => ({ digest: digestOf(IMAGE), config: Buffer.from(IMAGE) }),
        file: (_, path) => (path === 'Dockerfile' ? input : path === '.dockerignore' ? input.subarray(9) : undefined),
      });
      const options = new Map([['build-arg:A', '$A']]);
      const { error } = await checkDockerfile(host, options, AbortSignal.timeout(60_000)).catch(error => ({ error }));
      for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
        // What is thrown by mistake has these names.
        if (/^(Type|Range|Reference|Syntax|Assertion|Internal|Timeout)Error$/.test(cause.name)) throw cause;
      }
    },
  },
  {
    name: 'word',
    generate: random => source(random, words, generateWord),
    run(input) {
      const text = input.toString();
      for (const escapeChar of ['\\', '`']) {
        const options = { escape: escapeChar };
        for (const expand of [expandWord, expandWords, expandForDisplay]) {
          answer(() => expand(text, VARIABLES, options), ExpansionError);
        }
        const isPlain = !/[$'"\\`\ufeff]/.test(text);
        if (isPlain) assert.equal(expandWord(text, VARIABLES, options).text, text);
      }
      answer(() => expandHeredoc(text, VARIABLES), ExpansionError);
    },
  },
  {
    name: 'ignore',
    // The paths come first, up to an empty line.
    generate: random => {
      const paths = [generatePath(random), ...random.some(2, () => generatePath(random).replaceAll('\n', ''))];
      const text = source(random, ignoreFiles, generateIgnoreFile);
      return Buffer.concat([Buffer.from(`${paths.join('\n').replaceAll('\n\n', '\n')}\n\n`), text]);
    },
    run(input) {
      const text = input.toString();
      const start = text.indexOf('\n\n');
      const paths = start < 0 ? ['a/b'] : text.slice(0, start).split('\n');
      const patterns = answer(() => readIgnoreFile(text.slice(start + 2)), IgnoreFileError);
      const matcher = patterns && answer(() => compilePatterns(patterns), PatternSyntaxError);
      if (patterns === undefined || matcher === undefined) return;
      const filter = createPathFilter({ exclude: patterns });
      for (const path of paths) {
        const decide = (): boolean | undefined => answer(() => matcher.matches(path), PatternSyntaxError);
        const whole = decide();
        assert.equal(decide(), whole, 'the same path is decided differently a second time');
        if (whole === undefined || path.includes('/')) continue;
        assert.equal(filter.keepsFile(path), !whole, 'the filter and the matcher differ');
      }
    },
  },
];

/** Every piece of a logical line, and every token, has to stand where it says it does. */
function positionsHold(input: Buffer, file: ParsedFile): void {
  const lines = new TextDecoder('utf-8').decode(input).split('\n');
  for (const node of file.nodes) {
    assert.ok(node.lines.start <= node.lines.end && node.lines.end <= lines.length);
    for (const { offset } of node.segments) {
      const { line, column } = positionAt(node.segments, offset);
      const next = node.segments.find(segment => segment.offset > offset)?.offset ?? node.original.length;
      const piece = node.original.slice(offset, next);
      assert.equal(lines[line - 1]?.slice(column - 1, column - 1 + piece.length), piece);
    }
  }
  for (const { start, end, text } of listTokens(lines.join('\n'), file)) {
    if (start.line === end.line) assert.equal(lines[start.line - 1]?.slice(start.column - 1, end.column - 1), text);
    else assert.ok(start.line < end.line && end.line <= lines.length);
  }
}
