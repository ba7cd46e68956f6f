import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { sourceExcerpt } from './excerpt.ts';

const at = (start: number, end = start) => [{ start: { line: start, character: 0 }, end: { line: end, character: 0 } }];

for (const [name, range] of [
  ['04-run-fails', at(6, 8)],
  ['13-parse-error', at(3)],
  ['14-copy-missing', at(3)],
] as const) {
  test(`the excerpt of ${name} is buildx's`, () => {
    const folder = new URL(`../../../test/vectors/progress/${name}/`, import.meta.url);
    const { otherOutput } = JSON.parse(readFileSync(new URL('case.json', folder), 'utf8')) as { otherOutput: string[] };
    const excerpt = otherOutput
      .slice(
        otherOutput.findIndex(line => /^Dockerfile:\d+$/.test(line)),
        -1,
      )
      .join('\n');
    assert.equal(
      sourceExcerpt({ filename: 'Dockerfile', data: readFileSync(new URL('Dockerfile', folder)) }, range),
      `${excerpt}\n`,
    );
  });
}

test('a range outside the file prints nothing', () => {
  assert.equal(sourceExcerpt({ filename: 'Dockerfile', data: Buffer.from('FROM a\n') }, at(9)), '');
});
