import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRegistryClient, type RegistryAccess } from '../../wire/registry/client.ts';
import { createRegistryPool } from './registry-pool.ts';

const { signal } = new AbortController();
const request = { host: 'h', realm: 'https://h/token', service: 'h', scopes: [] };

function openPool() {
  let closed = 0;
  const opened: RegistryAccess[] = [];
  const pool = createRegistryPool(access => {
    opened.push(access);
    return { ...createRegistryClient(), [Symbol.asyncDispose]: async () => void closed++ };
  });
  const build = (session: string) => {
    const stack = new AsyncDisposableStack();
    const own = {
      credentials: async () => ({ username: session }),
      tokens: async () => (session === 'silent' ? undefined : `token of ${session}`),
    };
    pool.use(session, stack, own)('', false);
    return stack;
  };
  return { pool, opened, build, closed: () => closed };
}

test('who shares what a build found proves itself in its place when it has ended', async () => {
  const { pool, opened, build, closed } = openPool();
  const first = build('first');
  const [access = assert.fail()] = opened;
  const silent = build('silent');
  const last = build('last');
  const proofs = async () => [
    (await access.credentials?.('h', signal))?.username,
    await access.tokens?.(request, signal),
  ];
  pool.bequeath('first', ['silent', 'last']);
  assert.deepEqual(await proofs(), ['first', 'token of first']);
  await first.disposeAsync();
  assert.deepEqual(await proofs(), ['silent', 'token of last']);
  pool.bequeath('silent', ['first', 'last']);
  await silent.disposeAsync();
  assert.deepEqual(await proofs(), ['last', 'token of last']);
  assert.equal(closed(), 0, 'their layers may still be fetched');
  const stranger = build('stranger');
  await last.disposeAsync();
  assert.deepEqual(await proofs(), [undefined, undefined], 'a stranger proves nothing for others');
  assert.equal(closed(), 3);
  await stranger.disposeAsync();
  assert.equal(closed(), 4);
});
