import assert from 'node:assert/strict';
import { chmodSync, lchownSync, linkSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { makeDevice, makeNode, setTimes, splitDevice } from '../../../host/system/inode.ts';
import { enterPrivateMountNamespace } from '../../../host/system/namespace.ts';
import { setXattr } from '../../../host/system/xattr.ts';
import { planDockerfile } from '../../../plan/frontend/plan-dockerfile.ts';
import { recordedHost } from '../../../plan/frontend/testing-host.ts';
import { type LoadedEdge, type LoadedVertex, loadDefinition } from '../../../plan/llb/load.ts';
import { layersTree } from '../../../store/snapshot/file-tree-layers.ts';
import { fromBytePath, systemPath } from '../../../wire/fsutil/byte-path.ts';
import { walkTree } from '../../../wire/fsutil/tree.ts';
import { digestOf } from '../../../wire/oci/digest.ts';
import { openLocalContexts } from '../../source/local.ts';
import { createOp, type OpVertex } from '../create-op.ts';
import type { OpContext } from '../op-context.ts';
import type { Ref } from '../ref.ts';
import { type TestingStore, testingStore } from '../testing-store.ts';

interface Entry {
  type: 'dir' | 'file' | 'symlink' | 'hardlink' | 'fifo' | 'char' | 'block';
  mode?: string;
  uid?: number;
  gid?: number;
  mtime?: number | 'now';
  content?: string;
  data?: string;
  target?: string;
  dev?: [number, number];
  xattrs?: Record<string, string>;
}

type Tree = Record<string, Entry>;

interface Case {
  name: string;
  dockerfile: string;
  dockerignore?: string;
  context: Tree;
  base: Tree;
  other?: Tree;
  result: Tree | null;
  error: string | null;
}

const cases: Case[] = readFileSync(new URL('../../../../test/vectors/copy/cases.jsonl', import.meta.url), 'utf8')
  .trim()
  .split('\n')
  .map(line => JSON.parse(line));

const PLATFORM = { os: 'linux', architecture: 'amd64' } as const;
const CONFIG = Buffer.from(
  JSON.stringify({ architecture: 'amd64', os: 'linux', config: {}, rootfs: { type: 'layers', diff_ids: [] } }),
);
const SECOND = 1_000_000_000n;

describe(`COPY and ADD: ${cases.length} vectors`, {
  skip: process.getuid?.() === 0 ? false : 'owners, devices and mounts need root',
}, () => {
  let store: TestingStore;
  before(async () => {
    enterPrivateMountNamespace();
    store = await testingStore();
  });
  after(() => store[Symbol.asyncDispose]());

  for (const given of cases) {
    test(given.name, async () => {
      const started = BigInt(Date.now()) * 1_000_000n - SECOND;
      const outcome = build(given, store);
      if (given.error !== null) {
        await assert.rejects(outcome, (error: Error) => {
          assert.equal(errorText(error), given.error?.replaceAll('<root>', ''));
          return true;
        });
      } else {
        const ref = await outcome;
        assert.ok(ref.kind === 'snapshot');
        assert.deepEqual(readTree(store, ref.layers, started), given.result);
      }
      assert.deepEqual(store.mounts(), []);
    });
  }
});

function errorText(error: Error): string {
  return error.message.replace(/checksum of ref \S+:/, 'checksum of ref <ref>:');
}

async function build(given: Case, store: TestingStore): Promise<Ref> {
  const images: Record<string, Ref> = {};
  for (const name of ['base', 'other'] as const) {
    images[name] = await store.make(directory => layOut(directory, given[name] ?? {}));
  }
  const context = join(store.root, `context-${given.name}`);
  mkdirSync(context);
  const files: Tree = { ...given.context };
  const [sample] = Object.values(given.context);
  const like = { uid: sample?.uid ?? 0, gid: sample?.gid ?? 0, mtime: sample?.mtime ?? 1577934245, mode: '0644' };
  const named = { Dockerfile: given.dockerfile, '.dockerignore': given.dockerignore };
  for (const [name, content] of Object.entries(named)) {
    if (content !== undefined) files[name] = { type: 'file', content, ...like };
  }
  layOut(context, files);

  const host = recordedHost({
    buildPlatform: 'linux/amd64',
    sessionID: 'session',
    image: () => ({ digest: digestOf(CONFIG), config: CONFIG }),
    file: (_, path) => {
      const text = named[path as keyof typeof named];
      return text === undefined ? undefined : Buffer.from(text);
    },
  });
  const options = new Map([
    ['context:base', 'docker-image://base'],
    ['context:other', 'docker-image://other'],
  ]);
  const signal = new AbortController().signal;
  const plan = await planDockerfile(host, options, signal);
  const [platform] = plan.platforms;
  assert.ok(platform);
  return solve(loadDefinition(platform.definition).head, contextFor(store, context, images), signal);
}

function contextFor(store: TestingStore, directory: string, images: Record<string, Ref>): OpContext {
  const contexts = openLocalContexts(join(store.root, 'state'));
  const unused = async () => assert.fail('not for file ops');
  return {
    layers: store.layers,
    sources: {
      open({ identifier, attrs }) {
        const exec = async () => {
          if (!identifier.startsWith('local://'))
            return [images[/docker\.io\/library\/([a-z]+)/.exec(identifier)?.[1] ?? ''] ?? assert.fail(identifier)];
          const list = (name: string) => (attrs[name] === undefined ? undefined : JSON.parse(attrs[name]));
          const contents = contexts.open(directory, {
            includePatterns: list('local.includepattern'),
            excludePatterns: list('local.excludepatterns'),
            followPaths: list('local.followpaths'),
          });
          const ref: Ref = { kind: 'local', name: 'context', contents };
          return [ref];
        };
        return { cacheMap: unused, exec };
      },
    },
    runtime: { run: unused, prepare: unused, [Symbol.asyncDispose]: async () => {} },
    cacheMounts: { acquire: unused, giveUp: unused },
    secrets: { get: unused },
    ssh: { socket: unused },
    solve: unused,
    emit: () => {},
    platform: PLATFORM,
    entitlements: new Set(),
    devices: { read: async () => assert.fail('not for file ops') },
    now: () => 0n,
  };
}

/** What the solver does without a cache: keys of inputs first, then the step. */
async function solve(head: LoadedEdge, context: OpContext, signal: AbortSignal): Promise<Ref> {
  const done = new Map<LoadedVertex, Promise<readonly Ref[]>>();
  const vertices = new Map<LoadedVertex, OpVertex>();
  const vertexOf = (loaded: LoadedVertex): OpVertex => {
    const known = vertices.get(loaded);
    if (known) return known;
    const inputs = loaded.inputs.map(({ vertex, output }) => ({ vertex: vertexOf(vertex), output }));
    const made = { digest: loaded.digest, name: loaded.name, op: loaded.op, inputs, ignoreCache: false };
    vertices.set(loaded, made);
    return made;
  };
  const run = async (loaded: LoadedVertex): Promise<readonly Ref[]> => {
    const inputs = await Promise.all(loaded.inputs.map(result));
    const op = createOp(vertexOf(loaded), context);
    const deps = loaded.op.op.case === 'source' ? [] : (await op.cacheMap(0, signal)).map.deps;
    for (const [index, dep] of deps.entries()) {
      const input = inputs[index];
      assert.ok(input);
      try {
        const key = await dep.contentDigest?.(input, signal);
        if (key) assert.ok(key.parts.every(({ name }) => name.startsWith('/')));
      } catch (error) {
        throw new Error(`failed to compute cache key: ${error instanceof Error ? error.message : error}`);
      }
    }
    return op.exec(inputs, signal);
  };
  const result = async ({ vertex, output }: LoadedEdge): Promise<Ref> => {
    const results = done.get(vertex) ?? run(vertex);
    done.set(vertex, results);
    return (await results)[output] ?? assert.fail(`no output ${output}`);
  };
  return result(head);
}

function layOut(root: string, tree: Tree): void {
  const paths = Object.keys(tree).sort();
  for (const path of paths) {
    const entry = tree[path];
    const target = join(root, path);
    const mode = Number.parseInt(entry?.mode ?? '0', 8);
    switch (entry?.type) {
      case 'dir':
        mkdirSync(target);
        break;
      case 'file':
        writeFileSync(target, entry.data === undefined ? (entry.content ?? '') : Buffer.from(entry.data, 'base64'));
        break;
      case 'symlink':
        symlinkSync(entry.target ?? '', target);
        break;
      case 'fifo':
        makeNode(target, 0o010600);
        break;
      case 'char':
      case 'block':
        makeNode(target, entry.type === 'char' ? 0o020600 : 0o060600, makeDevice(...(entry.dev ?? [0, 0])));
        break;
      default:
        continue;
    }
    lchownSync(target, entry.uid ?? 0, entry.gid ?? 0);
    if (entry.type !== 'symlink') chmodSync(target, mode);
    for (const [name, value] of Object.entries(entry.xattrs ?? {}))
      setXattr(target, name, Buffer.from(value, 'base64'));
  }
  for (const path of paths) {
    const entry = tree[path];
    if (entry?.type === 'hardlink') linkSync(join(root, entry.target ?? ''), join(root, path));
  }
  for (const path of paths.reverse()) {
    const mtime = tree[path]?.mtime;
    if (typeof mtime === 'number') setTimes(join(root, path), BigInt(mtime) * SECOND, BigInt(mtime) * SECOND);
  }
}

function readTree(store: TestingStore, layers: readonly string[], started: bigint): Tree {
  const tree = layersTree(layers.map(layer => store.layers.path(layer)));
  const read: Tree = {};
  const first = new Map<string, string>();
  for (const [bytes, node] of walkTree(tree)) {
    const path = fromBytePath(bytes);
    const target = node.nlink > 1 && node.type !== 'dir' ? first.get(node.inode) : undefined;
    if (target !== undefined) {
      read[path] = { type: 'hardlink', target };
      continue;
    }
    first.set(node.inode, path);
    assert.ok(node.type !== 'socket');
    const entry: Entry = {
      type: node.type,
      mode: node.type === 'symlink' ? '0777' : node.mode.toString(8).padStart(4, '0'),
      uid: node.uid,
      gid: node.gid,
      mtime: node.mtime >= started ? 'now' : Number(node.mtime / SECOND),
    };
    if (node.type === 'file') {
      const data = readFileSync(systemPath(tree.location(node)));
      const text = data.toString('utf8');
      if (Buffer.from(text).equals(data) && !text.includes('\0')) entry.content = text;
      else entry.data = data.toString('base64');
    }
    if (node.type === 'symlink') entry.target = fromBytePath(tree.readlink(node));
    if (node.type === 'char' || node.type === 'block') {
      const { major, minor } = splitDevice(node.rdev);
      entry.dev = [major, minor];
    }
    const xattrs = [...tree.xattrs(node)];
    if (xattrs.length > 0)
      entry.xattrs = Object.fromEntries(xattrs.map(([name, value]) => [name, Buffer.from(value).toString('base64')]));
    read[path] = entry;
  }
  return read;
}
