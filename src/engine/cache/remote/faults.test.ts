/** Caches whose place fails: a registry that misbehaves, exports that are killed or meet. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { startDockerRegistry } from '../../../../test/support/docker-registry.ts';
import { startHttpServer } from '../../../../test/support/http-server.ts';
import { createRegistryClient } from '../../../wire/registry/client.ts';
import type { Ref } from '../../ops/ref.ts';
import { type CacheKey, idIn } from '../../solver/key.ts';
import { findRecords, loadRecord } from '../../solver/lookup.ts';
import { CacheNotFoundError } from './content-place.ts';
import { openCacheExports } from './export.ts';
import { type FakeMachine, fakeMachine } from './fake-build.ts';
import { openCacheImports } from './import.ts';
import { inspectCache } from './inspect.ts';
import { CacheLayerError } from './lost-layer.ts';
import type { CacheRequest } from './port.ts';

const signal = AbortSignal.timeout(300_000);
const root = mkdtempSync(join(tmpdir(), 'outcrop-faults-'));
after(() => rmSync(root, { recursive: true, force: true }));
const directory = () => mkdtempSync(join(root, 'cache-'));
const client = () => createRegistryClient({ retry: { attempts: 2, baseDelay: 1, maxDelay: 2 } });

function exportTo(machine: FakeMachine, request: CacheRequest, key: CacheKey<Ref>) {
  return openCacheExports([request], machine.deps).run([key], signal);
}

/** What is sent of a blob or a manifest in place of what was asked for. */
type Fault = (response: ServerResponse, bytes: Buffer) => void;

const faults = {
  dropped: response => void response.socket?.destroy(),
  'dropped half-way, every time': (response, bytes) => {
    response.writeHead(200, { 'content-length': bytes.length });
    response.write(bytes.subarray(0, bytes.length / 2), () => response.socket?.destroy());
  },
  damaged: (response, bytes) => void response.end(Buffer.from(bytes).fill('x', bytes.length - 1)),
  short: (response, bytes) => void response.end(bytes.subarray(0, -1)),
  long: (response, bytes) => void response.end(Buffer.concat([bytes, Buffer.from('x')])),
  missing: response => void response.writeHead(404).end('{"errors":[{"code":"BLOB_UNKNOWN"}]}'),
  'an error': response => void response.writeHead(500).end(),
} satisfies Record<string, Fault>;

/**
 * A registry that gives the cache of a directory, but for one blob. `faulty.digest`, what the tag names and what is gone may
 * be changed at any time.
 */
async function faultyRegistry(source: string) {
  const faulty: { digest: string; fault: Fault } = { digest: '', fault: () => {} };
  const gone = new Set<string>();
  const moving = { tag: '', requests: 0, afterRequest: (_: number) => {} };
  const [entry] = JSON.parse(readFileSync(join(source, 'index.json'), 'utf8')).manifests;
  moving.tag = entry.digest;
  const server = await startHttpServer((request, response) => {
    response.once('finish', () => moving.afterRequest(++moving.requests));
    const [, kind, name = ''] = /^\/v2\/cache\/(manifests|blobs)\/(.+)$/.exec(request.url ?? '') ?? [];
    const digest: string = name.startsWith('sha256:') ? name : moving.tag;
    const path = join(source, 'blobs/sha256', digest.slice('sha256:'.length));
    if (kind === undefined || gone.has(digest) || !existsSync(path))
      return void response.writeHead(kind ? 404 : 200).end();
    const bytes = readFileSync(path);
    if (kind === 'manifests') response.setHeader('content-type', entry.mediaType);
    if (kind === 'manifests') response.setHeader('docker-content-digest', digest);
    if (request.method === 'HEAD') return void response.writeHead(200, { 'content-length': bytes.length }).end();
    if (digest === faulty.digest) return faulty.fault(response, bytes);
    response.end(bytes);
  });
  return {
    request: { type: 'registry', attributes: { ref: `${server.host}/cache` } },
    faulty,
    moving,
    gone,
    root: entry.digest as string,
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

const steps = (machine: FakeMachine, make: 'step' | 'key' = 'step') => {
  const first = machine[make]('first', [machine.root('base')]);
  return { first, last: machine[make]('last', [first]) };
};

/** An export of two steps, with the digests of its config and of the layer of the last step. */
async function exported() {
  const dest = directory();
  const machine = fakeMachine();
  await exportTo(machine, { type: 'local', attributes: { dest, mode: 'max' } }, steps(machine).last);
  const [layer] = [...machine.blobs].find(([, bytes]) => bytes.toString() === 'layer of last') ?? [];
  const [entry] = JSON.parse(readFileSync(join(dest, 'index.json'), 'utf8')).manifests;
  const manifest = JSON.parse(readFileSync(join(dest, 'blobs/sha256', entry.digest.slice(7)), 'utf8'));
  return { dest, layer: layer ?? '', config: manifest.config.digest as string };
}

/** Looks up the last step and reads its layers; undefined when it has to run. */
async function take(machine: FakeMachine, request: CacheRequest, lost: Set<string>, patience = 30_000) {
  const [source] = openCacheImports([request], { ...machine.deps, lost, patience }, signal);
  const cache = await source?.cache;
  if (cache === undefined) return undefined;
  const { last } = steps(machine, 'key');
  idIn(cache.keys, last);
  const caches = { local: machine.local, imports: [cache] };
  const [record] = findRecords(caches, last);
  const ref = record && (await loadRecord(caches, record, signal).catch(() => undefined));
  if (ref?.kind !== 'snapshot') return undefined;
  const texts: string[] = [];
  for (const id of ref.layers) {
    let text = '';
    for await (const chunk of machine.lazy.get(id)?.fetch(signal) ?? []) text += Buffer.from(chunk).toString();
    texts.push(text);
  }
  return texts;
}

const whole = ['layer of first', 'layer of last'];

test(`a registry whose layer is at fault in ${Object.keys(faults).length} of ${Object.keys(faults).length} ways: the step runs again`, async t => {
  const { dest, layer } = await exported();
  for (const [name, fault] of Object.entries(faults)) {
    await t.test(name, async () => {
      await using server = await faultyRegistry(dest);
      await using registry = client();
      const machine = fakeMachine(registry);
      const lost = new Set<string>();
      Object.assign(server.faulty, { digest: layer, fault });
      await assert.rejects(take(machine, server.request, lost), error => {
        assert.ok(error instanceof CacheLayerError);
        return error.digest === layer;
      });
      assert.match(machine.complaints().join(), /^layer sha256:\S+ of the cache \S+ cannot be had: .*run again$/);
      // The attempt after that does not ask for it again.
      assert.equal(await take(machine, server.request, lost), undefined);
      server.faulty.digest = '';
      assert.deepEqual(await take(fakeMachine(registry), server.request, new Set()), whole);
    });
  }
});

test(`a registry whose index or config is at fault in ${2 * Object.keys(faults).length} of ${2 * Object.keys(faults).length} ways: no cache, and why`, async t => {
  const { dest, config } = await exported();
  for (const [name, fault] of Object.entries(faults)) {
    await t.test(name, async () => {
      await using server = await faultyRegistry(dest);
      await using registry = client();
      for (const digest of [server.root, config]) {
        const machine = fakeMachine(registry);
        Object.assign(server.faulty, { digest, fault });
        assert.equal(await take(machine, server.request, new Set()), undefined);
        assert.equal(machine.complaints().length, 1);
        assert.match(machine.complaints().join(), /./);
      }
    });
  }
});

test('a registry that answers slowly: what comes in the end is used, and what does not come in time is given up', async () => {
  const { dest, layer, config } = await exported();
  await using server = await faultyRegistry(dest);
  await using registry = client();
  const slowly: Fault = (response, bytes) => {
    response.writeHead(200, { 'content-length': bytes.length });
    let sent = 0;
    const timer = setInterval(() => {
      response.write(bytes.subarray(sent, ++sent));
      if (sent < bytes.length) return;
      clearInterval(timer);
      response.end();
    }, 5);
    response.once('close', () => clearInterval(timer));
  };
  Object.assign(server.faulty, { digest: layer, fault: slowly });
  assert.deepEqual(await take(fakeMachine(registry), server.request, new Set()), whole);
  const never: Fault = (response, bytes) => void response.write(bytes.subarray(0, 1));
  Object.assign(server.faulty, { digest: config, fault: never });
  const machine = fakeMachine(registry);
  assert.equal(await take(machine, server.request, new Set(), 100), undefined);
  assert.match(machine.complaints().join(), /it was not read within 0.1 s: the build goes on without it/);
});

test('a tag that changes after any request of an import: all of what it named, or none of it', async t => {
  const { dest, layer, config } = await exported();
  const before = JSON.parse(readFileSync(join(dest, 'index.json'), 'utf8')).manifests[0].digest as string;
  const other = fakeMachine();
  const others = other.step('something else', [other.root('base')]);
  await exportTo(other, { type: 'local', attributes: { dest, mode: 'max' } }, others);
  let moments = 0;
  for (const isDeleted of [false, true]) {
    for (let last = 0, requests = 1; last <= requests; last++) {
      await using server = await faultyRegistry(dest);
      await using registry = client();
      const after = server.root;
      server.moving.tag = before;
      const move = () => {
        server.moving.tag = after;
        if (isDeleted) for (const digest of [before, config, layer]) server.gone.add(digest);
      };
      server.moving.afterRequest = count => count === last && move();
      if (last === 0) move();
      const machine = fakeMachine(registry);
      const texts = await take(machine, server.request, new Set()).catch(error => {
        assert.ok(isDeleted && error instanceof CacheLayerError, String(error));
        return undefined;
      });
      requests = Math.max(requests, server.moving.requests);
      moments += 1;
      if (texts !== undefined) assert.deepEqual(texts, whole);
      else if (last > 0) assert.ok(isDeleted && machine.complaints().length > 0);
      if (last === requests) assert.deepEqual(texts, whole);
    }
  }
  t.diagnostic(`${moments} moments`);
});

/** Reads all of a cache; undefined when there is none, else what is wrong with it. */
async function problemsOf(request: CacheRequest): Promise<readonly string[] | undefined> {
  await using registry = client();
  const deps = fakeMachine(registry).deps;
  const contents = await inspectCache(request, deps, signal).catch(error => {
    if (error instanceof CacheNotFoundError) return undefined;
    throw error;
  });
  if (contents === undefined) return undefined;
  const problems = await Promise.all(contents.layers.map(layer => contents.verify(layer, signal)));
  return [...contents.undescribed, ...problems.filter(problem => problem !== undefined)];
}

/** Exports three steps in a process of its own, which ends at an event of the export. @returns whether it got to its end */
async function killedExport(request: CacheRequest, variant: string, atEvent: number): Promise<boolean> {
  const url = (name: string) => JSON.stringify(new URL(name, import.meta.url).href);
  const program = `
    const { fakeMachine } = await import(${url('./fake-build.ts')});
    const { openCacheExports } = await import(${url('./export.ts')});
    const { createRegistryClient } = await import(${url('../../../wire/registry/client.ts')});
    const machine = fakeMachine(createRegistryClient());
    let events = 0;
    const emit = () => { if (++events === ${atEvent}) process.kill(process.pid, 'SIGKILL'); };
    let key = machine.root('base');
    for (const name of ['a', 'b', 'c']) key = machine.step(name + ${JSON.stringify(variant)}, [key]);
    await openCacheExports([${JSON.stringify(request)}], { ...machine.deps, emit }).run([key], AbortSignal.timeout(60_000));
    process.exit(0);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const [code, killed] = await new Promise<[number | null, string | null]>((done, failed) =>
    child.once('error', failed).once('close', (...end) => done(end)),
  );
  assert.ok(code === 0 || killed === 'SIGKILL', `the export ended with ${code}`);
  return code === 0;
}

for (const type of ['local', 'registry'] as const) {
  test(`an export to a ${type} cache that is killed at any of its events leaves the cache before or after it`, async t => {
    await using server = type === 'registry' ? await startDockerRegistry() : undefined;
    const dest = directory();
    const [to, from] =
      server === undefined
        ? [{ dest }, { src: dest }]
        : [{ ref: `${server.host}/cache/killed` }, { ref: `${server.host}/cache/killed` }];
    const into = { type, attributes: { ...to, mode: 'max' } };
    const outOf = { type, attributes: from };
    let kills = 0;
    for (let event = 1; ; event += type === 'local' ? 3 : 7) {
      if (await killedExport(into, ` ${event}`, event)) break;
      kills += 1;
      // A cache is there from the first export on that was far enough.
      assert.deepEqual((await problemsOf(outOf)) ?? [], []);
    }
    assert.deepEqual(await problemsOf(outOf), []);
    t.diagnostic(`${kills} kills`);
    assert.ok(kills > 1);
  });

  test(`two builds that export to one ${type} cache at once: it is wholly that of one of them`, async () => {
    await using server = type === 'registry' ? await startDockerRegistry() : undefined;
    await using registry = client();
    for (let round = 0; round < 5; round++) {
      const dest = directory();
      const ref = `${server?.host}/cache/both-${round}`;
      const into = { type, attributes: { ...(server === undefined ? { dest } : { ref }), mode: 'max' } };
      const answers = await Promise.all(
        ['one', 'two'].map(name => {
          const machine = fakeMachine(registry);
          const below = machine.step('shared', [machine.root('base')]);
          return exportTo(machine, into, machine.step(name, [below]));
        }),
      );
      const digests = answers.map(answer => JSON.parse(answer['cache.manifest'] ?? '').digest);
      const outOf = { type, attributes: server === undefined ? { src: dest } : { ref } };
      const { root: found } = await inspectCache(outOf, fakeMachine(registry).deps, signal);
      assert.ok(digests.includes(found?.digest));
      assert.deepEqual(await problemsOf(outOf), []);
    }
  });
}
