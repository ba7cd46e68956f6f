import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  checkTag,
  parseAddHosts,
  parseCache,
  parseKeyValues,
  parseNamedContexts,
  parseSecret,
  parseSsh,
  parseUlimit,
} from './build-flags.ts';
import { UsageError } from './errors.ts';
import { parseOutputs } from './output-flag.ts';

const plain = { push: false, load: false, tags: [], annotations: [] };

test('build arguments: values, empty values, and names looked up in the environment', () => {
  const map = parseKeyValues(['A=1', 'B=', 'C', 'D=x=y', 'E'], '--build-arg', { C: 'from env' });
  assert.deepEqual(
    [...map],
    [
      ['A', '1'],
      ['B', ''],
      ['C', 'from env'],
      ['D', 'x=y'],
    ],
  );
  assert.throws(() => parseKeyValues(['=1'], '--build-arg', {}), UsageError);
});

test('secrets', () => {
  assert.deepEqual(parseSecret('id=a,src=./f', {}), { id: 'a', file: './f' });
  assert.deepEqual(parseSecret('id=a,env=B', {}), { id: 'a', env: 'B' });
  assert.deepEqual(parseSecret('id=TOKEN', { TOKEN: 'x' }), { id: 'TOKEN', env: 'TOKEN' });
  assert.deepEqual(parseSecret('id=file', {}), { id: 'file', file: 'file' });
  assert.deepEqual(parseSecret('type=env,id=X', {}), { id: 'X', env: 'X' });
  assert.throws(() => parseSecret('src=./f', {}), /id is required/);
  assert.throws(() => parseSecret('id=a,value=1', {}), /unexpected key value/);
});

test('ssh', () => {
  assert.deepEqual(parseSsh('default'), { id: 'default', paths: [] });
  assert.deepEqual(parseSsh('work=/a,/b'), { id: 'work', paths: ['/a', '/b'] });
});

test('named contexts', () => {
  assert.deepEqual([...parseNamedContexts(['node:20=oci-layout:///x'])], [['node:20', 'oci-layout:///x']]);
  assert.deepEqual([...parseNamedContexts(['docker.io/library/a:latest=x', 'b:latest=y']).keys()], ['a', 'b']);
  assert.throws(() => parseNamedContexts(['a']), /expected NAME=PATH/);
  assert.throws(
    () => parseNamedContexts(['Src=.']),
    /^UsageError: --build-context: invalid context name Src: .*lowercase/,
  );
});

test('caches', () => {
  assert.deepEqual(parseCache('example.com/a:b', '--cache-from'), [
    {
      type: 'registry',
      attributes: { ref: 'example.com/a:b' },
    },
  ]);
  assert.deepEqual(
    parseCache('a,b', '--cache-from').map(({ attributes }) => attributes['ref']),
    ['a', 'b'],
  );
  assert.deepEqual(parseCache('type=local,src=./c', '--cache-from'), [{ type: 'local', attributes: { src: './c' } }]);
});

test('hosts and limits', () => {
  assert.deepEqual(parseAddHosts('a:10.0.0.1'), ['a=10.0.0.1']);
  assert.deepEqual(parseAddHosts('a=[::1],b:1.2.3.4'), ['a=::1', 'b=1.2.3.4']);
  assert.throws(() => parseAddHosts('a:b'), /no IP address/);
  assert.equal(parseUlimit('nofile=1024:2048'), 'nofile=1024:2048');
  assert.throws(() => parseUlimit('nofile'), UsageError);
});

test('annotations', async () => {
  const read = async (annotation: string) => {
    const [output] = await parseOutputs(['type=image'], { ...plain, annotations: [annotation] });
    return output?.attributes;
  };
  assert.deepEqual(await read('org.x=a:b=c'), { 'annotation.org.x': 'a:b=c' });
  assert.deepEqual(await read('manifest[linux/arm/v7],index-descriptor:k='), {
    'annotation-manifest[linux/arm/v7].k': '',
    'annotation-index-descriptor.k': '',
  });
  await assert.rejects(read('manfest:k=v'), /unknown type manfest \(did you mean manifest\?\); one of manifest/);
  await assert.rejects(read('manifest[]:k=v'), /unknown type manifest\[\]/);
  await assert.rejects(read('k'), /expected \[TYPE/);
});

test('names of images', () => {
  assert.equal(checkTag('example.com/me/app:1'), 'example.com/me/app:1');
  assert.throws(() => checkTag('me/App'), /^UsageError: --tag me\/App: .*lowercase/);
});

test('outputs', async () => {
  assert.deepEqual(await parseOutputs([], plain), [{ type: 'image', attributes: {} }]);
  assert.deepEqual(await parseOutputs(['/nowhere/out'], plain), [
    { type: 'local', attributes: {}, dest: '/nowhere/out' },
  ]);
  assert.deepEqual(await parseOutputs(['type=registry,name=a'], plain), [
    { type: 'image', attributes: { unpack: 'false', name: 'a', push: 'true' } },
  ]);
  assert.deepEqual(await parseOutputs([], { ...plain, push: true, load: true }), [
    { type: 'image', attributes: { push: 'true', unpack: 'false' } },
    { type: 'docker', attributes: {} },
  ]);
  assert.deepEqual(
    await parseOutputs(['type=image', 'type=docker', 'type=image,name=b'], { ...plain, push: true, load: true }),
    [
      { type: 'image', attributes: { push: 'true' } },
      { type: 'docker', attributes: {} },
      { type: 'image', attributes: { name: 'b', push: 'true' } },
    ],
  );
  assert.deepEqual(await parseOutputs([], { ...plain, push: true, tags: ['a', 'b'] }), [
    { type: 'image', attributes: { push: 'true', unpack: 'false', name: 'a,b' } },
  ]);
  assert.deepEqual(
    await parseOutputs(['type=oci,dest=/nowhere/x.tar'], {
      ...plain,
      annotations: ['index,manifest[linux/amd64]:k=v', 'a=b'],
    }),
    [
      {
        type: 'oci',
        dest: '/nowhere/x.tar',
        attributes: { 'annotation-index.k': 'v', 'annotation-manifest[linux/amd64].k': 'v', 'annotation.a': 'b' },
      },
    ],
  );
  await assert.rejects(parseOutputs(['type=tarr'], plain), /unknown type tarr \(did you mean tar\?\)/);
  await assert.rejects(parseOutputs(['type=local'], plain), /dest is required for local exporter/);
  await assert.rejects(parseOutputs(['type=tar,dest=/'], plain), /destination file \/ is a directory/);
  await assert.rejects(parseOutputs(['-', 'type=oci,dest=-'], plain), /multiple outputs configured to write to stdout/);
});
