import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { checkGivenFiles } from './given-files.ts';

const here = fileURLToPath(import.meta.url);
const nothing = { secrets: [], ssh: [] };

test('what is there, or not named', async () => {
  assert.deepEqual(await checkGivenFiles(nothing, {}, {}), []);
  const given = {
    secrets: [
      { id: 'a', file: here },
      { id: 'b', env: 'B' },
    ],
    ssh: [
      { id: 'default', paths: [] },
      { id: 'key', paths: [here] },
    ],
  };
  const environment = { B: '', SSH_AUTH_SOCK: '/nowhere' };
  assert.deepEqual(await checkGivenFiles(given, { iidfile: `${here}.id`, metadataFile: 'new' }, environment), []);
});

test('a secret whose file is missing, or whose variable is not set', async () => {
  const check = (secret: { id: string; file?: string; env?: string }) =>
    checkGivenFiles({ ...nothing, secrets: [secret] }, {}, {});
  await assert.rejects(check({ id: 'a', file: '/nowhere/a' }), {
    name: 'UsageError',
    message: '--secret id=a: there is no file /nowhere/a',
  });
  await assert.rejects(check({ id: 'a', file: 'a' }), /there is no file a; name it with src=FILE/);
  assert.deepEqual(await check({ id: 'a', env: 'A' }), [
    '--secret id=a: the variable A is not set: the secret is empty',
  ]);
});

test('an agent or a key that is missing', async () => {
  const check = (...paths: string[]) => checkGivenFiles({ ...nothing, ssh: [{ id: 'x', paths }] }, {}, {});
  await assert.rejects(check(), /--ssh x: no agent: SSH_AUTH_SOCK is not set/);
  await assert.rejects(check(here, '/nowhere/key'), /--ssh x=\/nowhere\/key: there is no such socket or key/);
});

test('a directory that is missing', async () => {
  await assert.rejects(
    checkGivenFiles(nothing, { iidfile: '/nowhere/id' }, {}),
    /--iidfile \/nowhere\/id: there is no/,
  );
  await assert.rejects(checkGivenFiles(nothing, { metadataFile: '/nowhere/m' }, {}), /--metadata-file \/nowhere\/m/);
});
