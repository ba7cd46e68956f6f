import assert from 'node:assert/strict';
import { duplexPair } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type Channel, channelOver } from '../grpc/channel.ts';
import { Code } from '../grpc/code.ts';
import { fromRawHeaders, type Metadata } from '../grpc/metadata.ts';
import { createGrpcServer } from '../grpc/server.ts';
import { type Route, serviceRoutes } from '../grpc/service.ts';
import { serviceClient } from '../grpc/service-client.ts';
import { hasCode } from '../grpc/status.ts';
import { readCapture } from '../proto/capture-fixture.ts';
import { Health } from '../proto/gen/grpc/health_pb.ts';
import { Secrets } from '../proto/gen/session/secrets_pb.ts';
import { newIdentifier } from './identifier.ts';
import { openSession, openSessionOver } from './open-session.ts';
import { SessionError } from './session.ts';
import { readSessionHeaders, sessionHeaders } from './session-headers.ts';
import { createSessionManager, type SessionManager, sessionRoute } from './session-manager.ts';

const { signal } = new AbortController();

function daemon(t: TestContext): { readonly manager: SessionManager; readonly channel: Channel } {
  const manager = createSessionManager();
  const server = createGrpcServer([sessionRoute(manager)]);
  const [near, far] = duplexPair();
  void server.serve(far);
  const channel = channelOver(near);
  t.after(async () => {
    await channel[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
    await manager[Symbol.asyncDispose]();
  });
  return { manager, channel };
}

const secrets = (value: string): Route[] =>
  serviceRoutes(Secrets, { getSecret: async ({ ID }) => ({ data: Buffer.from(`${ID}=${value}`) }) });

async function ask(manager: SessionManager, id: string): Promise<string> {
  const { channel } = await manager.get(id, signal);
  return Buffer.from((await serviceClient(Secrets, channel).getSecret({ ID: 's' })).data).toString();
}

test('a daemon calls the client inside the call that the client made', async t => {
  const { manager, channel } = daemon(t);
  const waiting = ask(manager, 'prefix:abc');
  const session = openSession(channel, { id: 'abc', sharedKey: 'dir:1', routes: secrets('x') });
  assert.equal(await waiting, 's=x');
  const found = await manager.get('abc', signal);
  assert.equal(found.sharedKey, 'dir:1');
  assert.ok(found.supports('/moby.buildkit.secrets.v1.secrets/getsecret'));
  assert.ok(found.supports('/grpc.health.v1.Health/Check'));
  assert.ok(!found.supports('/moby.filesync.v1.FileSync/DiffCopy'));
  assert.equal((await serviceClient(Health, found.channel).check({})).status, 1);
  await session[Symbol.asyncDispose]();
  await session.ended;
  await delay(10);
  assert.ok(found.closed.aborted);
  assert.ok(!manager.has('abc'));
  await assert.rejects(manager.get('abc', signal, 10), SessionError);
});

test('many messages and large ones go through the tunnel', async t => {
  const { manager, channel } = daemon(t);
  const large = Buffer.alloc(3 * 1024 * 1024, 'x');
  const routes = serviceRoutes(Secrets, {
    getSecret: async ({ ID }) => ({ data: ID === 'large' ? large : Buffer.from(ID) }),
  });
  await using session = openSession(channel, { routes });
  const client = serviceClient(Secrets, (await manager.get(session.id, signal)).channel);
  const answers = await Promise.all(
    Array.from({ length: 200 }, (_, i) => client.getSecret({ ID: i % 50 ? `${i}` : 'large' })),
  );
  assert.equal(answers.filter(a => a.data.length === large.length).length, 4);
});

test('a session that comes again replaces the former', async t => {
  const { manager, channel } = daemon(t);
  await using first = openSession(channel, { id: 'same', routes: secrets('1') });
  assert.equal(await ask(manager, 'same'), 's=1');
  await using second = openSession(channel, { id: 'same', routes: secrets('2') });
  while ((await ask(manager, 'same')) !== 's=2') await delay(1);
  await first[Symbol.asyncDispose]();
  await delay(10);
  assert.equal(await ask(manager, 'same'), 's=2');
  assert.equal(second.id, 'same');
});

test('a session over a connection of its own', async t => {
  const { manager } = daemon(t);
  const [near, far] = duplexPair();
  const attached = Promise.withResolvers<void>();
  const session = await openSessionOver(
    async offer => {
      const headers: Metadata = new Map([...sessionHeaders(offer)].map(([name, value]) => [name, [value].flat()]));
      void manager.attach(far, headers, signal).then(attached.resolve);
      return near;
    },
    { routes: secrets('y') },
  );
  assert.equal(await ask(manager, session.id), 's=y');
  await session[Symbol.asyncDispose]();
  await attached.promise;
  assert.ok(!manager.has(session.id));
});

test('calls fail when the client goes away', async t => {
  const { manager, channel } = daemon(t);
  const called = Promise.withResolvers<void>();
  const routes = serviceRoutes(Secrets, {
    getSecret: () => {
      called.resolve();
      return new Promise(() => {});
    },
  });
  const session = openSession(channel, { id: 'gone', routes });
  const asking = ask(manager, 'gone');
  await called.promise;
  const rejected = assert.rejects(asking, error => hasCode(error, Code.unavailable, Code.canceled));
  await session[Symbol.asyncDispose]();
  await rejected;
});

test('a client that does not answer its health check is dropped', async t => {
  const { manager } = daemon(t);
  const server = createGrpcServer(secrets('z'));
  const [near, far] = duplexPair();
  void server.serve(near);
  t.after(() => server[Symbol.asyncDispose]());
  const headers = fromRawHeaders(
    [
      ['x-docker-expose-session-uuid', 'sick'],
      ['x-buildkit-session-health-custom-timeout', '1'],
    ].flat(),
  );
  const start = performance.now();
  const attached = manager.attach(far, headers, signal);
  assert.equal(await ask(manager, 'sick'), 's=z');
  await attached;
  assert.ok(performance.now() - start >= 990);
  assert.ok(!manager.has('sick'));
});

test('any session that can answer is asked', async t => {
  const { manager, channel } = daemon(t);
  await using _one = openSession(channel, { id: 'one', routes: [] });
  await using _two = openSession(channel, { id: 'two', routes: secrets('2') });
  const getSecret = (ids: readonly string[]) =>
    manager.any(ids, signal, ({ channel: c }) => serviceClient(Secrets, c).getSecret({ ID: 's' }));
  assert.equal(Buffer.from((await getSecret(['one', 'two'])).data).toString(), 's=2');
  await assert.rejects(getSecret(['one']), { code: Code.unimplemented });
  await assert.rejects(getSecret([]), new SessionError('no active sessions'));
  await assert.rejects(manager.get('none', signal, 10), {
    message: 'no active session for none: context deadline exceeded',
  });
  const abort = new AbortController();
  const waiting = manager.any(['none'], abort.signal, async () => {});
  abort.abort(new Error('stop'));
  await assert.rejects(waiting, { message: 'stop' });
});

test('recorded openings are read, and made the same', t => {
  const streams = readCapture('session-open');
  for (const { events } of streams) {
    const headers = events[0]?.headers ?? [];
    const offer = readSessionHeaders(fromRawHeaders(headers.flat()));
    assert.match(offer.id, /^[0-9a-z]{25}$/);
    assert.ok(offer.methods.includes('/grpc.health.v1.Health/Check'));
    const made = [...sessionHeaders(offer)].flatMap(([name, value]) => [value].flat().map(v => [name, v]));
    const recorded = headers.filter(([name]) => name.startsWith('x-docker-expose-session-'));
    assert.deepEqual(made.sort(), recorded.map(header => [...header]).sort());
  }
  t.diagnostic(`${streams.length} of ${streams.length} openings`);
  assert.equal(streams.length, 4);
});

test('identifiers', () => {
  const ids = new Set(Array.from({ length: 100 }, newIdentifier));
  assert.equal(ids.size, 100);
  for (const id of ids) assert.match(id, /^[0-9a-z]{25}$/);
});
