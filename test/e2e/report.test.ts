/** The page of `outcrop report`, opened in a real browser. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { reportPage } from '../../src/insight/report/page.ts';
import type { ReportData } from '../../src/insight/report/report-data.ts';
import { hasChromium, type Page, startBrowser } from '../support/chromium.ts';
import { MAIN, outcrop } from '../support/cli.ts';
import { scenario } from '../surprises/scenario.ts';

const skip = !hasChromium() && 'chromium is not installed';

const textOf = (page: Page, selector: string) => page.evaluate(`document.querySelector('${selector}')?.innerText`);
const countOf = (page: Page, selector: string) => page.evaluate(`document.querySelectorAll('${selector}').length`);

/** Elements whose text is wider than they are and that do not say so with an ellipsis. */
const CLIPPED = `[...document.querySelectorAll('header *, #detail *, td, th, input')]
  .filter(one => one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).display !== 'inline' &&
    getComputedStyle(one).textOverflow !== 'ellipsis' && getComputedStyle(one).overflowX !== 'auto')
  .map(one => one.outerHTML.slice(0, 120))`;

test('a browser draws the report of a build', { skip }, async () => {
  using it = scenario(
    'FROM base AS tools\nARG NOTE=first\nRUN echo "<b>$NOTE</b></script>" > /n; cat /n\nFROM base\nCOPY a.txt /\nRUN cat /a.txt\nCOPY --from=tools /n /\n',
    { 'a.txt': 'one\n' },
  );
  await it.build({ flags: ['--output', 'type=image,name=first'] });
  it.write('a.txt', 'two\n');
  await it.build({ flags: ['--output', 'type=image,name=second'] });
  const file = join(it.dir, 'report.html');
  const { code, stderr } = await outcrop(['report', '-o', file], { root: it.root });
  assert.equal(code, 0, stderr);
  assert.doesNotMatch(readFileSync(file, 'utf8'), /(src|href)="|@import|url\(/);

  await using browser = await startBrowser();
  const page = await browser.open(`file://${file}`);
  assert.equal(await page.evaluate('document.title'), 'Build 2 · outcrop');
  assert.equal(await countOf(page, '.row'), 4);
  assert.match(String(await textOf(page, '.row:nth-child(1)')), /RUN echo "<b>/);
  assert.match(String(await textOf(page, '[aria-selected="true"].row')), /COPY a\.txt \/\na\.txt content/);
  assert.match(
    String(await textOf(page, '#detail')),
    /Why it ran\s+a\.txt content .*Its key in build 2, against build 1/s,
  );

  // Keys: down the list, to the other tabs, and into the search.
  await page.evaluate("document.getElementById('view').focus()");
  await page.press('ArrowDown');
  assert.match(String(await textOf(page, '#detail')), /RUN cat \/a\.txt.*Output\s+two/s);
  assert.match(String(await textOf(page, '.causes')), /COPY a\.txt \/\s+a\.txt content/);
  await page.press('2');
  assert.equal(await page.evaluate("document.querySelector('[role=tab][aria-selected=true]').id"), 'timeline');
  assert.ok(Number(await countOf(page, '.bar.ran')) >= 2);
  assert.ok(Number(await countOf(page, '.critical .bar')) >= 2);
  await page.press('3');
  assert.equal(await countOf(page, 'canvas'), 1);
  const before = await page.evaluate("document.querySelector('#detail .title').innerText");
  await page.press('ArrowRight');
  assert.notEqual(await page.evaluate("document.querySelector('#detail .title').innerText"), before);
  await page.press('4');
  assert.match(String(await textOf(page, '#view')), /Image: \d layers.*this machine.*--output\s+image/s);
  await page.press('/');
  await page.type('tools');
  assert.match(String(await textOf(page, '#found')), /^\d found$/);
  await page.press('Escape');
  assert.equal(await page.evaluate('document.activeElement.id'), 'view');

  // Nothing is cut, in a wide window and in a narrow one, on light and on dark ground.
  for (const options of [{}, { width: 480, height: 800, dark: true }] as const) {
    for (const tab of ['steps', 'timeline', 'graph', 'build']) {
      const one = await browser.open(`file://${file}#${tab}`, options);
      assert.deepEqual(await one.evaluate(CLIPPED), [], `${tab} at ${options}`);
      assert.ok(Number(await one.evaluate('document.documentElement.scrollWidth - innerWidth')) <= 0);
      assert.deepEqual(one.complaints(), []);
    }
  }
  assert.deepEqual(page.complaints(), []);
});

test('values of variables whose names say that they are secret stand nowhere in it', async () => {
  using it = scenario(
    'FROM base\nARG NPM_TOKEN\nARG A_KEY=of-the-file\nENV AN_AUTH=x-$NPM_TOKEN\nRUN echo "$NPM_TOKEN $A_KEY $AN_AUTH" > /a\n',
  );
  const output = ['--output', 'type=image,name=secret'];
  await it.build({ flags: [...output, '--build-arg', 'NPM_TOKEN=hunter one'] });
  await it.build({ flags: [...output, '--build-arg', 'NPM_TOKEN=hunter two'] });
  for (const command of [
    ['report', '--against', '1', '-o', '-'],
    ['why', '--json'],
    ['history', 'inspect', '2', '--json'],
  ]) {
    const { code, stdout, stderr } = await outcrop(command, { root: it.root });
    assert.equal(code, 0, stderr);
    assert.match(String(stdout), /\*{3}[0-9a-f]{6}/);
    assert.doesNotMatch(String(stdout), /hunter|of-the-file/, command.join(' '));
  }
});

test('two builds stand side by side', { skip }, async () => {
  using it = scenario('FROM base\nCOPY a.txt /\nRUN cat /a.txt\nRUN true\n', { 'a.txt': 'one\n' });
  await it.build();
  it.write('a.txt', 'two\n');
  it.write('Dockerfile', 'FROM base\nCOPY a.txt /\nRUN cat /a.txt\n');
  await it.build();
  const file = join(it.dir, 'report.html');
  await outcrop(['report', '2', '--against', '1', '-o', file], { root: it.root });
  await using browser = await startBrowser();
  const page = await browser.open(`file://${file}`);
  assert.equal(await textOf(page, 'h1'), 'Build 2 against build 1');
  assert.match(String(await textOf(page, '.axis')), /build 1\s+build 2/);
  assert.equal(await countOf(page, '.row:nth-of-type(2) .took'), 2);
  await page.press('2');
  assert.ok(Number(await countOf(page, '.ghost')) >= 2);
  await page.press('4');
  assert.match(String(await textOf(page, '#view')), /Two builds.*Only in build 1.*RUN true/s);
  assert.deepEqual(page.complaints(), []);
});

/** A build of so many steps in stages of 50, half of which ran. */
function largeBuild(count: number): ReportData {
  const parts = Array.from(
    { length: count * 4 },
    (_, index) => ['file', `/src/${index}.ts`, `0644 sha256:${index}`] as const,
  );
  return {
    build: { number: 7, status: 'done', startedAt: 0, duration: count * 20, context: '/src' },
    gone: [],
    facts: [['context', '/src']],
    parts,
    steps: Array.from({ length: count }, (_, index) => ({
      digest: `sha256:${index}`,
      name: `step ${index}`,
      stage: `stage${Math.floor(index / 50)}`,
      number: `${(index % 50) + 1}/50`,
      text: `RUN make part-${index}`,
      line: index + 1,
      isShown: true,
      ...(index % 3 === 0 ? { waited: 0 } : {}),
      outcome: index % 2 === 0 ? 'ran' : 'cached',
      start: index * 10,
      end: index * 10 + 200,
      duration: 200,
      inputs: index % 50 === 0 ? [] : [index - 1, ...(index > 60 ? [index - 51] : [])],
      causes: index % 2 === 0 ? [{ text: `src/${index}.ts content`, path: [] }] : [],
      surprises: [],
      slots: ['the step itself'],
      keys: Array.from({ length: 4 }, (_, part) => ({ slot: 0, part: index * 4 + part })),
      keysLeft: 0,
      log: 'line\n'.repeat(100),
    })),
    sources: [],
    images: [],
    now: 0,
  };
}

test('2,000 steps open in less than 2 s and stay smooth', { skip }, async t => {
  using it = scenario('FROM base\n');
  const file = join(it.dir, 'large.html');
  writeFileSync(file, reportPage(largeBuild(2000)));
  await using browser = await startBrowser();
  for (const tab of ['steps', 'timeline', 'graph']) {
    const page = await browser.open(`file://${file}#${tab}`);
    // Of the processor, not of the clock: other tests run meanwhile.
    const opened = await page.cpuTime();
    await page.evaluate(`new Promise(done => {
      const view = document.getElementById('view');
      let frames = 0;
      const next = () => {
        view.scrollTop += 300;
        view.scrollLeft += 50;
        if (++frames < 50) requestAnimationFrame(next);
        else done();
      };
      next();
    })`);
    const frame = ((await page.cpuTime()) - opened) / 50;
    t.diagnostic(`${tab}: opened in ${opened.toFixed(0)} ms, ${frame.toFixed(1)} ms a frame`);
    assert.ok(opened < 2000, `${tab} opened in ${opened} ms`);
    assert.ok(frame < 50, `${tab}: ${frame} ms a frame`);
    assert.ok(Number(await countOf(page, '.row')) < 100, 'only rows that can be seen are made');
  }
});

test('--serve lists builds, shows each, answers this machine only, and ends on an interrupt', async () => {
  using it = scenario('FROM base\nCOPY a.txt /\n', { 'a.txt': 'one\n' });
  await it.build();
  it.write('a.txt', 'two\n');
  await it.build();
  const child = spawn(process.execPath, [MAIN, 'report', '--serve', '--port', '0'], {
    env: { ...process.env, OUTCROP_ROOT: it.root },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  const [said] = await once(child.stdout, 'data');
  const url = /^(http:\/\/127\.0\.0\.1:\d+\/) /.exec(String(said))?.[1] ?? '';
  const get = async (path: string) => (await fetch(new URL(path, url))).text();
  const list = await get('/');
  assert.match(list, /<h1>Builds<\/h1>.*href="\/build\/2".*\?against=1".*href="\/build\/1"/s);
  assert.ok(list.includes(await get('/rows')));
  assert.match(await get('/build/2'), /<title>Build 2 · outcrop<\/title>/);
  assert.match(await get('/build/2?against=1'), /<title>Build 2 against build 1 · outcrop<\/title>/);
  assert.equal((await fetch(new URL('/build/9', url))).status, 404);
  assert.equal((await fetch(new URL('/', url), { method: 'POST' })).status, 405);
  const [response] = (await once(request(url, { headers: { host: 'elsewhere.example' } }).end(), 'response')) as [
    IncomingMessage,
  ];
  assert.equal(response.statusCode, 403);
  response.resume();
  child.kill('SIGINT');
  assert.deepEqual(await ended, [0, null]);
});
