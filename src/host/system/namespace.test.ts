import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readlinkSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';

const root = process.getuid?.() === 0;
const module = JSON.stringify(new URL('./namespace.ts', import.meta.url).href);

/** Runs a script in a Node of its own, since a process can enter only once. */
function run(script: string): string {
  return execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' }).trim();
}

describe('enterPrivateMountNamespace', { skip: root ? false : 'needs root' }, () => {
  it('takes along later threads, workers and children, and hides mounts from outside', () => {
    const place = mkdtempSync(join(tmpdir(), 'namespace-'));
    const script = `
      import { execFileSync } from 'node:child_process';
      import { promises, readdirSync, readFileSync, readlinkSync } from 'node:fs';
      import { Worker } from 'node:worker_threads';
      const { enterPrivateMountNamespace } = await import(${module});
      const { mount } = await import(${module}.replace('namespace', 'mount'));
      enterPrivateMountNamespace();
      enterPrivateMountNamespace();
      const place = ${JSON.stringify(place)};
      mount({ source: 'hidden', target: place, type: 'tmpfs' });
      await promises.writeFile(place + '/file', 'seen');
      const worker = new Worker("const fs = require('node:fs'); fs.promises.readFile('" + place + "/file', 'utf8').then(text => require('node:worker_threads').parentPort.postMessage(text + fs.readlinkSync('/proc/thread-self/ns/mnt')))", { eval: true, execArgv: [] });
      const text = await new Promise(resolve => worker.once('message', resolve));
      const names = new Set();
      for (const id of readdirSync('/proc/self/task')) {
        const name = readFileSync('/proc/self/task/' + id + '/comm', 'utf8').trim();
        if (name.startsWith('libuv') || name.startsWith('Worker')) names.add(readlinkSync('/proc/self/task/' + id + '/ns/mnt'));
      }
      names.add(readlinkSync('/proc/self/ns/mnt'));
      names.add(execFileSync('readlink', ['/proc/self/ns/mnt'], { encoding: 'utf8' }).trim());
      console.log(JSON.stringify({ text, names: [...names] }));`;
    const answer: unknown = JSON.parse(run(script));
    assert.ok(typeof answer === 'object' && answer !== null && 'names' in answer && 'text' in answer);
    assert.ok(Array.isArray(answer.names) && answer.names.length === 1);
    assert.notEqual(answer.names[0], readlinkSync('/proc/self/ns/mnt'));
    assert.equal(answer.text, `seen${answer.names[0]}`);
    assert.ok(!readFileSync('/proc/self/mountinfo', 'utf8').includes(place));
    rmdirSync(place);
  });

  it('refuses when the thread pool is there already', () => {
    const late = `
      import { promises } from 'node:fs';
      const { enterPrivateMountNamespace } = await import(${module});
      await promises.readFile('/etc/passwd');
      try { enterPrivateMountNamespace(); } catch (error) { console.log(error.name, error.message); }`;
    assert.match(run(late), /^NamespaceError .*already running: libuv-worker/);
  });
});
