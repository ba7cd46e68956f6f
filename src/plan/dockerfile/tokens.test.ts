import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { DockerfileError } from './error.ts';
import { parseFile } from './parse-file.ts';
import { listTokens, type Token } from './tokens.ts';

const VECTORS = new URL('../../../test/vectors/dockerfile/', import.meta.url);

/** `kind line:column-line:column text`. */
function shown({ kind, text, start, end }: Token): string {
  return `${kind} ${start.line}:${start.column}-${end.line}:${end.column} ${JSON.stringify(text)}`;
}

test('every token knows where it stands', () => {
  const source = [
    '# escape=`',
    '# build the tool',
    'FROM --platform=$BUILDPLATFORM  base AS build',
    'RUN --mount=type=bind,"target=/a b" cat <<EOF `',
    '  # not part of it',
    '  > /x',
    'one',
    '\ttwo',
    'EOF',
    'ENV A="b c" `',
    '    D=e',
    'ENV legacy some  text',
    'ONBUILD COPY --from=x ["a b", "c"]',
    'HEALTHCHECK --interval=5s CMD curl x',
    'BOGUS whatever it is',
  ].join('\n');
  const file = parseFile(source);
  assert.deepEqual(listTokens(source, file).map(shown), [
    'directive 1:1-1:11 "# escape=`"',
    'comment 2:1-2:17 "# build the tool"',
    'keyword 3:1-3:5 "FROM"',
    'flag 3:6-3:31 "--platform=$BUILDPLATFORM"',
    'argument 3:33-3:37 "base"',
    'argument 3:38-3:40 "AS"',
    'argument 3:41-3:46 "build"',
    'keyword 4:1-4:4 "RUN"',
    'flag 4:5-4:36 "--mount=type=bind,\\"target=/a b\\""',
    'argument 4:37-6:7 "cat <<EOF   > /x"',
    'continuation 4:47-4:48 "`"',
    'comment 5:3-5:19 "# not part of it"',
    'heredoc 7:1-9:1 "one\\n\\ttwo\\n"',
    'terminator 9:1-9:4 "EOF"',
    'keyword 10:1-10:4 "ENV"',
    'argument 10:5-10:12 "A=\\"b c\\""',
    'continuation 10:13-10:14 "`"',
    'argument 11:5-11:8 "D=e"',
    'keyword 12:1-12:4 "ENV"',
    'argument 12:5-12:11 "legacy"',
    'argument 12:12-12:22 "some  text"',
    'keyword 13:1-13:8 "ONBUILD"',
    'keyword 13:9-13:13 "COPY"',
    'flag 13:14-13:22 "--from=x"',
    'argument 13:24-13:29 "\\"a b\\""',
    'argument 13:31-13:34 "\\"c\\""',
    'keyword 14:1-14:12 "HEALTHCHECK"',
    'flag 14:13-14:26 "--interval=5s"',
    'argument 14:27-14:30 "CMD"',
    'argument 14:31-14:37 "curl x"',
    'keyword 15:1-15:6 "BOGUS"',
    'argument 15:7-15:21 "whatever it is"',
  ]);
});

test('nothing of a file is left out of its tokens', t => {
  let files = 0;
  for (const name of ['errors/', 'lint/', 'outline/'].flatMap(folder =>
    readdirSync(new URL(folder, VECTORS)).map(file => folder + file),
  )) {
    if (!name.endsWith('.Dockerfile')) continue;
    const source = readFileSync(new URL(name, VECTORS), 'utf8');
    try {
      assert.equal(leftOver(source, listTokens(source, parseFile(source))), '', name);
      files++;
    } catch (error) {
      if (!(error instanceof DockerfileError)) throw error;
    }
  }
  t.diagnostic(`${files} files`);
});

/** What stands between the tokens, but for blanks, brackets and commas. */
function leftOver(source: string, tokens: readonly Token[]): string {
  const lines = source.replace(/^\ufeff/, '').split('\n');
  for (const { start, end } of tokens) {
    for (let line = start.line; line <= end.line; line++) {
      const text = lines[line - 1] ?? '';
      const from = line === start.line ? start.column - 1 : 0;
      const to = line === end.line ? end.column - 1 : text.length;
      lines[line - 1] = text.slice(0, from) + ' '.repeat(to - from) + text.slice(to);
    }
  }
  return lines.join('').replaceAll(/[\s[\],\0]/g, '');
}
