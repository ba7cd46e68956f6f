import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { toJson } from '@bufbuild/protobuf';
import { digestOf } from '../../wire/oci/digest.ts';
import { LocationSchema, OpMetadataSchema } from '../../wire/proto/gen/pb/ops_pb.ts';
import {
  change,
  copy,
  diff,
  git,
  http,
  image,
  imageBlobSource,
  loadDefinition,
  local,
  marshal,
  marshalGraph,
  merge,
  ociLayout,
  require,
  run,
  type State,
  scratch,
  solveDefinitionIn,
  stateOf,
  withDir,
  withEnv,
} from './index.ts';

interface GraphVector {
  readonly name: string;
  readonly vertices: readonly {
    readonly digest: string;
    readonly name: string;
    readonly inputs: readonly { readonly vertex: number; readonly index: number }[];
    readonly metadata: unknown;
    readonly locations?: unknown;
    readonly raw: string;
  }[];
  readonly terminal: { readonly digest: string; readonly metadata: unknown; readonly raw: string };
}

const vectors: readonly GraphVector[] = JSON.parse(
  readFileSync(new URL('../../../test/vectors/llb/graphs.json', import.meta.url), 'utf8'),
);

const OPTIONS = { platform: { os: 'linux', architecture: 'amd64' }, uniqueID: 'unique00000000000000000001' };
const bytes = (text: string) => new TextEncoder().encode(text);
const atImage = (reference: string) => withEdge(image(reference));

function withEdge(state: State) {
  const { edge } = state;
  assert.ok(edge);
  return { ...state, edge };
}

/** The programs of graphs.json, by name. */
const PROGRAMS: Readonly<Record<string, () => State>> = {
  'image, run, run': () => {
    const first = run(image('alpine'), ['echo', 'a b', 'c']).root;
    return run(first, ['true'], { dir: '/w', env: { A: '1' } }).root;
  },
  'exec with every state option, result of a second writable mount': () => {
    const base: State = {
      ...withEnv(withDir(withEnv(image('docker.io/library/busybox:1'), { K: 'v', K2: 'v2' }), '/app'), { K: 'again' }),
      user: 'me',
      hostname: 'hh',
      extraHosts: [{ host: 'h', ip: '10.1.2.3' }],
      ulimits: [{ name: 'nofile', soft: 10n, hard: 20n }],
      cgroupParent: 'cg',
      network: 'none',
      security: 'insecure',
    };
    const { mounts } = run(base, ['x'], {
      readonlyRoot: true,
      proxy: { http: 'p' },
      validExitCodes: [0, 7],
      devices: [{ name: 'v/c=d', optional: true }],
      mounts: [
        { dest: '/out' },
        { dest: '/in', source: local('src'), readonly: true },
        { dest: '/a', source: image('docker.io/library/debian:12'), selector: '/etc', contentCache: 'off' },
      ],
    });
    return mounts[0] ?? scratch;
  },
  'local with all options': () =>
    local('name', {
      session: 's1',
      includePatterns: ['b', 'a<'],
      excludePatterns: ['x'],
      followPaths: ['f'],
      sharedKeyHint: 'hint',
      differ: 'none',
      differRequired: true,
      metadataOnly: { except: ['m'] },
    }),
  'local without a session': () => local('name'),
  'http with all options': () =>
    http('https://example.com/f', {
      checksum: digestOf('c'),
      filename: 'file',
      mode: 0o1755,
      uid: 3,
      gid: 4,
      authHeaderSecret: 'sec',
      headers: { accept: 'a/b', userAgent: 'ua' },
      signature: { publicKey: 'key', signature: 'sig' },
    }),
  'git, options': () =>
    git('github.com/acme/w#main:sub/../dir', {
      keepGitDir: true,
      authTokenSecret: 'tok',
      authHeaderSecret: 'hdr',
      checksum: 'abc',
      skipSubmodules: true,
      mtime: 'commit',
      fetchByCommit: true,
    }),
  'image, options': () =>
    image(`busybox:1@${digestOf('i')}`, {
      resolveMode: 'local',
      recordType: 'internal',
      platform: { os: 'linux', architecture: 'arm', variant: 'v6' },
    }),
  'image blob': () =>
    stateOf(imageBlobSource(`example.com/r@${digestOf('blob')}`, { filename: 'n', mode: 0o600, uid: 1, gid: 2 })),
  'oci layout': () => ociLayout(`docker.io/x/y@${digestOf('oci')}`, { session: 'sess', store: 'store', layerLimit: 2 }),
  'file actions in one op': () =>
    change(withDir(image('alpine:3'), '/d'), [
      { kind: 'mkdir', path: 'sub', mode: 0o1777, parents: true, owner: 'app:5' },
      { kind: 'mkfile', path: 'sub/../f', mode: 0o640, data: bytes('hi'), owner: '0:7', timestamp: 10_000_000_005n },
      { kind: 'rm', path: '/gone*', allowWildcard: true, allowNotFound: true },
      { kind: 'symlink', target: 't', path: '/l' },
      copy(local('c', { session: 's' }), {
        src: 'rel/./p',
        dest: 'dst/',
        includePatterns: ['i'],
        alwaysReplaceExistingDestPaths: true,
      }),
    ]),
  'copy from another action': () =>
    change(image('alpine:3'), [
      { kind: 'mkdir', path: '/y', mode: 0o700 },
      {
        kind: 'copy',
        from: { base: undefined, dir: '/w', actions: [{ kind: 'mkdir', path: '/x', mode: 0o755 }] },
        src: 'x',
        dest: 'z',
      },
    ]),
  'merge and diff': () => {
    const base = image('alpine:3');
    return merge([
      base,
      scratch,
      diff(base, run(base, ['c']).root),
      diff(scratch, image('alpine:2')),
      local('l', { session: 's' }),
    ]);
  },
  'diff to scratch': () => diff(image('alpine:3'), scratch),
  'build op': () => solveDefinitionIn(withEdge(local('defs', { session: 's' })), { filename: 'my.pb' }),
  passthrough: () => require(atImage('alpine:3'), 'need', [image('alpine:1'), scratch]),
  'equal vertices, constraints': () => {
    const first = run(image('alpine:3'), ['e'], { name: 'first', filter: ['w==1'] }).root;
    const second = run(image('alpine:3'), ['e'], {
      name: 'second',
      filter: ['w==1'],
      ignoreCache: true,
      exportCache: true,
    }).root;
    const withA = change(scratch, [copy(first, { src: '/a', dest: '/a' })]);
    return change(withA, [copy(second, { src: '/b', dest: '/b' })]);
  },
  'exec with ssh and secrets': () =>
    run(image('alpine:3'), ['s'], {
      ssh: [{}, { id: 'two', dest: '/t', optional: true }],
      secrets: [
        { id: 'sid', dest: '/run/s', optional: true },
        { id: 'ENVN', env: 'ENVN' },
      ],
      mounts: [
        { dest: '/c', cache: { id: 'cid', sharing: 'private' } },
        { dest: '/t2', tmpfs: { size: 5n } },
      ],
    }).root,
};

test(`a planned graph is the one that BuildKit's client library makes: ${vectors.length} of ${vectors.length} graphs`, () => {
  for (const vector of vectors) {
    const program = PROGRAMS[vector.name];
    assert.ok(program, vector.name);
    const definition = marshal(program(), OPTIONS);
    const raws = definition.def.map(raw => Buffer.from(raw).toString('base64'));
    assert.deepEqual(raws, [...vector.vertices.map(({ raw }) => raw), vector.terminal.raw], vector.name);
    const graph = loadDefinition(definition);
    graph.vertices.forEach((vertex, i) => {
      const expected = vector.vertices[i];
      assert.ok(expected);
      assert.equal(vertex.digest, expected.digest, vector.name);
      assert.equal(vertex.name, expected.name, vector.name);
      const inputs = vertex.inputs.map(edge => ({ vertex: graph.vertices.indexOf(edge.vertex), index: edge.output }));
      assert.deepEqual(inputs, expected.inputs, vector.name);
      assert.ok(vertex.metadata);
      assert.deepEqual(toJson(OpMetadataSchema, vertex.metadata), expected.metadata, vector.name);
      assert.deepEqual(
        vertex.locations.map(one => toJson(LocationSchema, one)),
        expected.locations ?? [],
        vector.name,
      );
    });
    const metadata = definition.metadata[vector.terminal.digest];
    assert.ok(metadata);
    assert.deepEqual(toJson(OpMetadataSchema, metadata), vector.terminal.metadata, vector.name);
  }
});

test('scratch is an empty definition', () => {
  assert.equal(marshal(scratch, OPTIONS).def.length, 0);
});

test('a graph deeper than the call stack is written and read', () => {
  let state = image('alpine');
  for (let i = 0; i < 12_000; i++) state = run(state, ['true', String(i)]).root;
  const { definition, digests } = marshalGraph(state.edge, OPTIONS);
  assert.equal(digests.size, 12_001);
  assert.equal(loadDefinition(definition).vertices.length, 12_001);
});
