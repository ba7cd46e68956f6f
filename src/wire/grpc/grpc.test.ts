import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:http2';
import { createServer, type Socket } from 'node:net';
import { duplexPair } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Control } from '../proto/gen/control/control_pb.ts';
import { type Channel, channelOver } from './channel.ts';
import { Code } from './code.ts';
import { channelToAddress } from './dial.ts';
import { methodWith } from './method.ts';
import { createGrpcServer, type ServerOptions } from './server.ts';
import { type ServerCall, type ServiceImplementation, serviceRoutes } from './service.ts';
import { serviceClient } from './service-client.ts';
import { hasCode, StatusError } from './status.ts';

type Implementation = ServiceImplementation<typeof Control>;

function connectTo(t: TestContext, implementation: Implementation, options: ServerOptions = {}) {
  const server = createGrpcServer(serviceRoutes(Control, implementation), options);
  const [near, far] = duplexPair();
  const served = server.serve(far);
  const channel = channelOver(near);
  t.after(async () => {
    await channel[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });
  return { server, served, channel, client: serviceClient(Control, channel) };
}

async function collect<T>(messages: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const message of messages) all.push(message);
  return all;
}

async function* numbers(count: number): AsyncGenerator<{ data: Uint8Array<ArrayBuffer> }> {
  for (let i = 0; i < count; i++) yield { data: Uint8Array.of(i) };
}

test('one request, one response', async t => {
  const { client } = connectTo(t, { info: async () => ({ buildkitVersion: { version: 'v1' } }) });
  assert.equal((await client.info({})).buildkitVersion?.version, 'v1');
});

test('streams in both directions, with empty and large messages', async t => {
  const { client } = connectTo(t, {
    session: async function* (requests) {
      for await (const { data } of requests) yield { data };
    },
  });
  const sizes = [0, 1, 0, 1_000_000, 16_384, 16_385, 0];
  async function* requests(): AsyncGenerator<{ data: Uint8Array<ArrayBuffer> }> {
    for (const size of sizes) yield { data: new Uint8Array(size) };
  }
  assert.deepEqual(
    (await collect(client.session(requests()))).map(m => m.data.length),
    sizes,
  );
});

test('a sender waits for a reader', async t => {
  let sent = 0;
  const { client } = connectTo(t, {
    session: async function* () {
      for (; sent < 1000; sent++) yield { data: new Uint8Array(65_536) };
    },
  });
  for await (const message of client.session(numbers(0))) {
    await delay(100);
    assert.equal(message.data.length, 65_536);
    break;
  }
  assert.ok(sent < 500, `${sent} messages sent with one read`);
});

test('metadata keeps repeated names apart, both ways', async t => {
  let seen: ServerCall['metadata'] | undefined;
  const { client } = connectTo(t, {
    status: async function* (_request, call) {
      seen = call.metadata;
      call.sendHeaders([
        ['x-clock', 'now'],
        ['x-list', ['1', '2, 3']],
      ]);
      await delay(0);
      yield* [];
    },
  });
  const patterns = ['a, b', 'c', 'dir/ü', ''];
  const call = client.status(
    {},
    {
      metadata: [
        ['Pattern', patterns],
        ['pattern', 'last'],
      ],
    },
  );
  const headers = await call.headers;
  assert.deepEqual([headers.get('x-clock'), headers.get('x-list')], [['now'], ['1', '2, 3']]);
  assert.deepEqual(seen?.get('pattern'), [...patterns, 'last']);
  assert.deepEqual(await collect(call), []);
});

test('thousands of metadata values', async t => {
  let count = 0;
  const { client } = connectTo(t, {
    info: async (_request, call) => {
      count = call.metadata.get('exclude-patterns')?.length ?? 0;
      return {};
    },
  });
  await client.info(
    {},
    { metadata: [['exclude-patterns', Array.from({ length: 3000 }, (_, i) => `some/path/number-${i}`)]] },
  );
  assert.equal(count, 3000);
});

test('failures travel with code, message and details', async t => {
  const details = [{ typeUrl: 'github.com/moby/buildkit/errdefs.Vertex+json', value: Buffer.from('{"digest":"x"}') }];
  const failed: [path: string, message: string][] = [];
  const { client } = connectTo(
    t,
    {
      solve: async () => {
        throw new StatusError(Code.notFound, 'größer\nals 100%', { details });
      },
      status: async function* () {
        yield { vertexes: [{ digest: 'd' }] };
        throw new Error('broken');
      },
    },
    { onError: (path, error) => failed.push([path, error.message]) },
  );
  await assert.rejects(client.solve({}), error => {
    assert.ok(hasCode(error, Code.notFound));
    assert.equal(error.message, 'größer\nals 100%');
    assert.deepEqual(
      error.details.map(d => [d.typeUrl, Buffer.from(d.value).toString()]),
      [[details[0]?.typeUrl, '{"digest":"x"}']],
    );
    return true;
  });
  const got: string[] = [];
  await assert.rejects(
    async () => {
      for await (const { vertexes } of client.status({})) got.push(vertexes[0]?.digest ?? '');
    },
    { code: Code.unknown, message: 'broken' },
  );
  assert.deepEqual(got, ['d']);
  assert.deepEqual(
    failed.map(([path]) => path),
    ['/moby.buildkit.v1.Control/Solve', '/moby.buildkit.v1.Control/Status'],
  );
});

test('unknown methods and services', async t => {
  const { channel, client } = connectTo(t, { info: async () => ({}) });
  await assert.rejects(client.solve({}), {
    code: Code.unimplemented,
    message: 'unknown method Solve for service moby.buildkit.v1.Control',
  });
  const bytes = { encode: (m: Uint8Array) => m, decode: (m: Uint8Array) => m };
  const nope = methodWith({ ...Control.method.info, parent: { ...Control, typeName: 'x.Y' } }, bytes);
  await assert.rejects(channel.unary(nope, new Uint8Array()), {
    code: Code.unimplemented,
    message: 'unknown service x.Y',
  });
});

test('a caller that cancels ends the work of the other end', async t => {
  const ended = Promise.withResolvers<unknown>();
  const { client } = connectTo(t, {
    solve: (_request, { signal }) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => {
          ended.resolve(signal.reason);
          reject(signal.reason);
        });
      }),
  });
  const abort = new AbortController();
  const solving = client.solve({}, { signal: abort.signal });
  setTimeout(() => abort.abort(), 20);
  await assert.rejects(solving, { code: Code.canceled });
  assert.ok(hasCode(await ended.promise, Code.canceled));
  await assert.rejects(client.solve({}, { signal: abort.signal }), { code: Code.canceled });
});

test('a reader that stops ends the work of the other end', async t => {
  const ended = Promise.withResolvers<void>();
  const { client } = connectTo(t, {
    status: async function* (_request, { signal }) {
      signal.addEventListener('abort', () => ended.resolve());
      for (;;) {
        yield {};
        await delay(1, undefined, { signal });
      }
    },
  });
  for await (const _message of client.status({})) break;
  await ended.promise;
});

test('a deadline passes at both ends', async t => {
  const ended = Promise.withResolvers<unknown>();
  const { client } = connectTo(t, {
    // One that does not heed its signal.
    solve: (_request, { signal }) => {
      signal.addEventListener('abort', () => ended.resolve(signal.reason));
      return new Promise(() => {});
    },
  });
  await assert.rejects(client.solve({}, { timeout: 30 }), { code: Code.deadlineExceeded });
  assert.ok(hasCode(await ended.promise, Code.deadlineExceeded, Code.canceled));
  // The other end's own clock, as it answers a caller that only tells the time.
  const alone = client.solve({}, { metadata: [['grpc-timeout', '20m']] });
  await assert.rejects(alone, { code: Code.deadlineExceeded });
});

test('a server that answers early stops the requests', async t => {
  const stopped = Promise.withResolvers<void>();
  const { client } = connectTo(t, {
    session: async function* (requests) {
      for await (const request of requests) {
        yield request;
        return;
      }
    },
  });
  async function* requests(): AsyncGenerator<{ data: Uint8Array<ArrayBuffer> }> {
    try {
      for (;;) {
        yield { data: new Uint8Array(1000) };
        await delay(1);
      }
    } finally {
      stopped.resolve();
    }
  }
  assert.equal((await collect(client.session(requests()))).length, 1);
  await stopped.promise;
});

test('requests that fail fail the call', async t => {
  const { client } = connectTo(t, {
    session: async function* (requests) {
      yield* requests;
    },
  });
  async function* requests(): AsyncGenerator<{ data: Uint8Array<ArrayBuffer> }> {
    yield* numbers(2);
    throw new Error('no more files');
  }
  await assert.rejects(collect(client.session(requests())), { message: 'no more files' });
});

test('messages have a limit at either end', async t => {
  const { client } = connectTo(
    t,
    {
      session: async function* (requests) {
        for await (const { data } of requests) yield { data: new Uint8Array(data.length * 2) };
      },
    },
    { limit: 1000 },
  );
  const send = (size: number) =>
    async function* () {
      yield { data: new Uint8Array(size) };
    };
  assert.equal((await collect(client.session(send(400)()))).length, 1);
  await assert.rejects(
    collect(client.session(send(600)())),
    /trying to send message larger than max \(1203 vs. 1000\)/,
  );
  await assert.rejects(collect(client.session(send(2000)())), { code: Code.resourceExhausted });
});

test('trailers of 60 KiB arrive; beyond what nghttp2 takes the call fails, not the process', async t => {
  const { client } = connectTo(t, {
    solve: async ({ Ref }) => {
      throw new StatusError(Code.unknown, 'x', { details: [{ typeUrl: 't', value: new Uint8Array(Number(Ref)) }] });
    },
  });
  await assert.rejects(
    client.solve({ Ref: '40000' }),
    error => hasCode(error, Code.unknown) && error.details[0]?.value.length === 40_000,
  );
  await assert.rejects(client.solve({ Ref: '200000' }), error => error instanceof StatusError);
});

test('a lost connection fails its calls, and a channel to an address connects again', async t => {
  const server = createGrpcServer(
    serviceRoutes(Control, { info: async () => ({}), solve: () => new Promise(() => {}) }),
  );
  const sockets: Socket[] = [];
  const listener = createServer(socket => {
    sockets.push(socket);
    void server.serve(socket);
  }).listen(0, 'localhost');
  await once(listener, 'listening');
  const address = listener.address();
  assert.ok(typeof address === 'object' && address !== null);
  const channel = channelToAddress(`tcp://localhost:${address.port}`);
  t.after(() => Promise.all([channel[Symbol.asyncDispose](), server[Symbol.asyncDispose](), listener.close()]));
  const client = serviceClient(Control, channel);
  await client.info({});
  const solving = client.solve({});
  setTimeout(() => sockets[0]?.destroy(), 20);
  await assert.rejects(solving, { code: Code.unavailable });
  await client.info({});
  assert.equal(sockets.length, 2);
  listener.close();
  sockets[1]?.destroy();
  await assert.rejects(client.solve({}), { code: Code.unavailable });
  await assert.rejects(client.info({}), {
    code: Code.unavailable,
    message: /^connection error: desc = "transport: Error while dialing: connect ECONNREFUSED/,
  });
});

test('draining lets calls end and takes no more', async t => {
  const go = Promise.withResolvers<void>();
  const { server, served, client } = connectTo(t, {
    solve: async () => {
      await go.promise;
      return {};
    },
    info: async () => ({}),
  });
  const solving = client.solve({});
  await client.info({});
  const drained = server.drain();
  await delay(10);
  await assert.rejects(client.info({}), { code: Code.unavailable });
  go.resolve();
  await solving;
  await drained;
  await served;
});

test('a disposed channel takes no calls', async t => {
  const { channel, client, served } = connectTo(t, { solve: () => new Promise(() => {}) });
  const solving = assert.rejects(client.solve({}), error => hasCode(error, Code.unavailable, Code.canceled));
  await delay(10);
  await (channel as Channel)[Symbol.asyncDispose]();
  await solving;
  assert.ok(channel.closed.aborted);
  await assert.rejects(client.solve({}));
  await served;
});

test('what is not gRPC is refused', async t => {
  const server = createGrpcServer([]);
  const [near, far] = duplexPair();
  void server.serve(far);
  const session = connect('http://localhost', { createConnection: () => near });
  t.after(() => Promise.all([session.destroy(), server[Symbol.asyncDispose]()]));
  for (const [headers, expected] of [
    [{ ':method': 'GET', ':path': '/' }, 405],
    [{ ':method': 'POST', ':path': '/', 'content-type': 'application/json' }, 415],
  ] as const) {
    const stream = session.request(headers);
    const [response] = await once(stream, 'response');
    assert.equal(response[':status'], expected);
    stream.close();
  }
  // Rubbish instead of HTTP/2.
  const [other, end] = duplexPair();
  const done = server.serve(end);
  other.on('error', () => {});
  other.write('GET / HTTP/1.1\r\n\r\n');
  other.resume();
  await done;
});
