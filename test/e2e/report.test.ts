/** The page of `outcrop report`, opened in a real browser. */
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { outcrop } from '../support/cli.ts';
import { scenario } from '../surprises/scenario.ts';

const run = promisify(execFile);
const hasChromium = spawnSync('chromium', ['--version']).error === undefined;

test('a browser draws the report of a build', { skip: !hasChromium && 'chromium is not installed' }, async () => {
  using it = scenario(
    'FROM base AS tools\nARG NOTE=first\nRUN echo "<b>$NOTE</b></script>" > /n; cat /n\nFROM base\nCOPY a.txt /\nRUN cat /a.txt\nCOPY --from=tools /n /\n',
    { 'a.txt': 'one\n' },
  );
  await it.build();
  it.write('a.txt', 'two\n');
  await it.build();
  const file = join(it.dir, 'report.html');
  const { code, stderr } = await outcrop(['report', '-o', file], { root: it.root });
  assert.equal(code, 0, stderr);
  assert.doesNotMatch(readFileSync(file, 'utf8'), /(src|href)="|@import|url\(/);
  for (const tab of ['steps', 'timeline', 'graph', 'build']) {
    const { stdout: dom, stderr: said } = await run(
      'chromium',
      [
        '--headless',
        '--no-sandbox',
        '--disable-gpu',
        `--user-data-dir=${join(it.dir, 'profile')}`,
        '--enable-logging=stderr',
        '--window-size=1200,700',
        '--dump-dom',
        `file://${file}#${tab}`,
      ],
      { timeout: 120_000 },
    );
    assert.doesNotMatch(said, /CONSOLE/);
    assert.match(dom, /<title>Build 2 · outcrop<\/title>/);
    if (tab === 'steps') {
      assert.equal(dom.match(/class="row/g)?.length, 4);
      assert.match(dom, /class="how cached">cached<.*?RUN echo "&lt;b&gt;/s);
      assert.match(dom, /class="how ran">ran<.*?COPY a\.txt \/.*?a\.txt/s);
    }
    if (tab === 'timeline') assert.match(dom, /class="bar" style="left/);
    if (tab === 'graph') assert.match(dom, /<canvas[^>]* width="\d+"/);
    if (tab === 'build') assert.match(dom, /Hits by cache/);
  }
});
