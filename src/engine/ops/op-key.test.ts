import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fromBinary } from '@bufbuild/protobuf';
import { digestOf } from '../../wire/oci/digest.ts';
import { normalizePlatform } from '../../wire/oci/platform.ts';
import { type Op, OpSchema } from '../../wire/proto/gen/pb/ops_pb.ts';
import { execKey } from './exec-key.ts';
import { fileKey } from './file-key.ts';
import { buildKey, diffKey, mergeKey, passthroughKey } from './merge-diff-build-key.ts';
import type { OpKey } from './op-key.ts';

interface Content {
  path: string;
  followLinks?: boolean;
  wildcard?: boolean;
  include?: string[];
  exclude?: string[];
  required?: string[];
}

interface Case {
  name: string;
  opHex: string;
  vertexDigest: string;
  expect: {
    error?: string;
    json?: string;
    digest?: string;
    deps?: {
      selector: string;
      selectorPreimage?: string;
      content?: Content[];
      contentDigest?: string;
      contentError?: string;
      unlazy?: boolean;
    }[];
  };
}

const folder = new URL('../../../test/vectors/cache-keys/', import.meta.url);

function keyOf(op: Op): OpKey {
  const inputs = op.inputs.length;
  switch (op.op.case) {
    case 'exec': {
      const { OS = 'linux', Architecture = 'amd64', Variant, OSVersion, OSFeatures } = op.platform ?? {};
      return execKey(
        op.op.value,
        inputs,
        normalizePlatform({
          os: OS,
          architecture: Architecture,
          ...(Variant && { variant: Variant }),
          ...(OSVersion && { 'os.version': OSVersion }),
          ...(OSFeatures && { 'os.features': OSFeatures }),
        }),
      );
    }
    case 'file':
      return fileKey(op.op.value, inputs);
    case 'merge':
      return mergeKey(op.op.value);
    case 'diff':
      return diffKey(op.op.value);
    case 'build':
      return buildKey(op.op.value, inputs);
    case 'passthrough':
      return passthroughKey(op.op.value, inputs);
    default:
      throw new Error(`no key for ${op.op.case}`);
  }
}

for (const set of ['exec', 'file', 'merge-diff-build']) {
  const cases: Case[] = JSON.parse(readFileSync(new URL(`${set}.json`, folder), 'utf8'));
  test(`keys of ${set} ops: ${cases.length} vectors`, async t => {
    for (const { name, opHex, vertexDigest, expect } of cases) {
      await t.test(name, () => {
        const bytes = Buffer.from(opHex, 'hex');
        assert.equal(digestOf(bytes), vertexDigest);
        const op = fromBinary(OpSchema, bytes);
        if (expect.error !== undefined) {
          assert.throws(
            () => keyOf(op),
            (error: Error) => error.message.startsWith(expect.error ?? ''),
          );
          return;
        }
        const key = keyOf(op);
        assert.equal(key.json, expect.json);
        assert.equal(key.digest, expect.digest);
        assert.deepEqual(
          key.deps.map(dep => ({
            selector: dep.selector,
            ...(dep.selector !== '' && { selectorPreimage: dep.selectorPaths.join('\0') }),
            ...(dep.content && {
              content: (dep.content.length > 0 ? dep.content : [{ path: '/' } as Content]).map(
                ({ path, followLinks, wildcard, include, exclude, required }): Content => ({
                  path,
                  ...(followLinks && { followLinks }),
                  ...(wildcard && { wildcard }),
                  ...(include?.length && { include: [...include] }),
                  ...(exclude?.length && { exclude: [...exclude] }),
                  ...(required?.length && { required: [...required] }),
                }),
              ),
            }),
            ...(dep.unlazy && { unlazy: true }),
          })),
          (expect.deps ?? []).map(({ contentDigest: _digest, contentError: _error, ...dep }) => dep),
        );
      });
    }
  });
}

test('every input of a key is a named part', () => {
  const cases: Case[] = JSON.parse(readFileSync(new URL('exec.json', folder), 'utf8'));
  const found = cases.find(({ name }) => name === 'meta-all');
  assert.ok(found);
  const { parts } = keyOf(fromBinary(OpSchema, Buffer.from(found.opHex, 'hex')));
  assert.deepEqual(
    parts.map(({ kind, name, value }) => `${kind} ${name}: ${value}`),
    [
      'args : /bin/sh -c echo hi',
      'env PATH: /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      'cwd : /',
      'user : 1000:1000',
      'extraHost a.example: ',
      'extraHost b.example: ',
      'hostname : h',
      'ulimit nofile: Soft=1024 Hard=2048',
      'ulimit core: Hard=-1',
      'cgroupParent : cg',
      'removeMountStubsRecursive : true',
      'validExitCodes : 0 3 137',
      'network : HOST',
      'security : INSECURE',
      'secretEnv TOKEN: ID=tok optional=true',
      'platform : linux/amd64',
    ],
  );
});

test('the keys of a real Dockerfile build are made of the recorded texts', () => {
  const build: { preimages: Record<string, { type: string; text?: string }> } = JSON.parse(
    readFileSync(new URL('dockerfile.json', folder), 'utf8'),
  );
  for (const [digest, { type, text }] of Object.entries(build.preimages)) {
    if (type === 'json' && text !== undefined) assert.equal(digestOf(text), digest);
  }
});
