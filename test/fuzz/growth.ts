/** Whether time grows with the length of a text, or faster. */
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
import { parseFile } from '../../src/plan/dockerfile/parse-file.ts';
import { PatternSyntaxError } from '../../src/wire/fsutil/path-match.ts';
import { compilePatterns } from '../../src/wire/fsutil/patterns.ts';
import { startCpuTimer } from '../support/cpu-timer.ts';
import { generateDockerfile, generateIgnoreFile, generateWord } from './generate.ts';
import { TOKENS } from './mutate.ts';
import type { Random } from './random.ts';
import { answer } from './subjects.ts';

const VARIABLES = new Map([['A', 'a a']]);
/** Of a variable A. */
const OPERATORS = ['//a*b/c', '##*a*b', '%%a*b*', '/a/b'].map(operator => `\${A${operator}}`).join('');
/** A line may not be longer. */
const LINE = 60_000;
const LONGEST = 256_000;

interface Reader {
  readonly most: number;
  run(text: string): unknown;
}

const READERS: Readonly<Record<string, Reader>> = {
  file: {
    most: LONGEST,
    run: text => {
      const file = answer(() => parseFile(`FROM a\n${text}`), DockerfileError);
      return file && answer(() => lintFile(`FROM a\n${text}`, file), DockerfileError, CheckOptionsError);
    },
  },
  directives: { most: LONGEST, run: text => answer(() => parseFile(text), DockerfileError) },
  run: { most: LINE, run: text => answer(() => parseFile(`FROM a\nRUN ${text}`), DockerfileError) },
  env: { most: LINE, run: text => answer(() => parseFile(`FROM a\nENV A=${text}`), DockerfileError) },
  copy: { most: LINE, run: text => answer(() => parseFile(`FROM a\nCOPY ${text} b`), DockerfileError) },
  flags: { most: LINE, run: text => answer(() => parseFile(`FROM a\nRUN --mount=${text}`), DockerfileError) },
  word: { most: LINE, run: text => answer(() => expandWord(text, VARIABLES), ExpansionError) },
  words: { most: LINE, run: text => answer(() => expandWords(text, VARIABLES), ExpansionError) },
  display: { most: LINE, run: text => answer(() => expandForDisplay(text, VARIABLES), ExpansionError) },
  heredoc: { most: LONGEST, run: text => answer(() => expandHeredoc(text, VARIABLES), ExpansionError) },
  value: { most: LONGEST, run: text => answer(() => expandWord(OPERATORS, new Map([['A', text]])), ExpansionError) },
  ignore: { most: LONGEST, run: text => answer(() => readIgnoreFile(text), IgnoreFileError) },
  patterns: {
    most: LINE,
    run: text =>
      answer(() => compilePatterns(readIgnoreFile(text)).matches('a/b/c'), PatternSyntaxError, IgnoreFileError),
  },
  paths: {
    most: LINE,
    // Directories above it are tried one by one, and a path may not have many.
    run: text => answer(() => PATTERNS.map(pattern => pattern.matches(text.replaceAll('/', 'x'))), PatternSyntaxError),
  },
};
const PATTERNS = ['a*a*b', '*a*b*c*/x', '[a-z]?b', '\\w\\W*'].map(pattern => compilePatterns([pattern]));

/** A text that is repeated, and the reader that gets it. */
export interface Growth {
  readonly reader: string;
  readonly piece: string;
}

/** A piece of text and the reader to repeat it for. */
export function generateGrowth(random: Random): Growth {
  const reader = random.pick(Object.keys(READERS)) ?? '';
  const tokens = () => [random.pick(TOKENS), ...random.some(2, () => random.pick(TOKENS))].join('');
  const whole =
    reader === 'file' ? generateDockerfile : /ignore|patterns|paths/.test(reader) ? generateIgnoreFile : generateWord;
  const piece = random.once(2) ? tokens() : whole(random).slice(0, reader === 'file' ? 400 : 60);
  return { reader, piece: piece || 'x' };
}

/** The most that twice the text may take: growth by the power of 1.5. It is 4 where time grows with the square. */
const MOST = 2.8;
/** Milliseconds; the clock ticks in fours. */
const MEASURABLE = 12;

/** Throws when a text of twice the length takes far more than twice as long, and one of four times that too. */
export function checkGrowth({ reader, piece }: Growth): void {
  const { most, run } = READERS[reader] ?? { most: 0, run: () => undefined };
  for (let length = 2000; length * 4 <= most; length *= 2) {
    if (measure(piece, length, run, 1) < MEASURABLE) continue;
    const times = [1, 2, 4].map(factor => measure(piece, length * factor, run, 4));
    const [one = 0, two = 0, four = 0] = times;
    if (one < MEASURABLE || two < MOST * one || four < MOST * two) return;
    const shown = times.map(time => `${time.toFixed(1)} ms`).join(', ');
    throw new Error(`${length} characters, and twice and four times as many, take ${shown}`);
  }
}

/** Milliseconds of the processor, the least of some tries. The text is whole pieces, so that each length is read alike. */
function measure(piece: string, length: number, run: (text: string) => unknown, tries: number): number {
  const text = piece.repeat(Math.max(1, Math.floor(length / piece.length)));
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < tries; i++) {
    const taken = startCpuTimer();
    run(text);
    best = Math.min(best, taken());
  }
  return best;
}
