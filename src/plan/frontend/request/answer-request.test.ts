import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { recordedHost } from '../testing-host.ts';
import { answerRequest, UnsupportedRequestError } from './answer-request.ts';

interface Capture {
  readonly streams: readonly {
    readonly events: readonly {
      readonly from: string;
      readonly kind: string;
      readonly json?: {
        readonly FrontendOpt?: Readonly<Record<string, string>>;
        readonly result?: { readonly metadata: Readonly<Record<string, string>> };
      };
    }[];
  }[];
}

const capture: Capture = JSON.parse(
  readFileSync(new URL('../../../../test/vectors/api/subrequests.json', import.meta.url), 'utf8'),
);

const exchanges = capture.streams.map(({ events }) => {
  const message = (from: string) => events.find(event => event.kind === 'message' && event.from === from)?.json;
  const metadata = Object.entries(message('daemon')?.result?.metadata ?? {});
  return {
    options: new Map(Object.entries(message('client')?.FrontendOpt ?? {})),
    metadata: new Map(metadata.map(([key, value]) => [key, Buffer.from(value, 'base64').toString()])),
  };
});

function sessionOf(texts: Iterable<string>): string {
  for (const text of texts) {
    const [, session] = /"local.session": "(\w+)"/.exec(text) ?? [];
    if (session !== undefined) return session;
    for (const [data] of text.matchAll(/[\w+/=]{200,}/g)) {
      const found = /local\.session\x12\x19(\w{25})/.exec(Buffer.from(data, 'base64').toString('latin1'))?.[1];
      if (found !== undefined) return found;
    }
  }
  return '';
}

test(`requests are answered byte for byte as by BuildKit: ${exchanges.length} of ${exchanges.length} captured`, async t => {
  const outline = JSON.parse(exchanges[0]?.metadata.get('result.json') ?? '');
  const dockerfile = Buffer.from(outline.sources[0], 'base64');
  const config = { os: 'linux', architecture: 'amd64', config: { Env: [] }, rootfs: { diff_ids: ['sha256:1'] } };
  for (const { options, metadata } of exchanges) {
    await t.test(options.get('requestid') ?? '', async () => {
      const host = recordedHost({
        buildPlatform: 'linux/amd64',
        sessionID: sessionOf(metadata.values()),
        image: () => ({
          digest: 'sha256:1f32f400f8ccc9718593c9aeeee538cea4174befd8a6db60e4ee7998fafc2735',
          config: Buffer.from(JSON.stringify(config)),
        }),
        file: (_, path) => ({ Dockerfile: dockerfile, '.dockerignore': Buffer.from('ignored') })[path],
      });
      const answer = await answerRequest(host, options, AbortSignal.timeout(10_000));
      for (const [key, value] of metadata) assert.equal(answer.metadata.get(key), value, key);
      assert.equal(answer.metadata.size, metadata.size);
    });
  }
});

test('a request that nobody knows is refused by name', async () => {
  const host = recordedHost({
    buildPlatform: 'linux/amd64',
    sessionID: 's',
    image: () => undefined,
    file: () => undefined,
  });
  await assert.rejects(
    answerRequest(host, new Map([['requestid', 'frontend.foo']]), AbortSignal.timeout(10_000)),
    (error: unknown) =>
      error instanceof UnsupportedRequestError &&
      error.request === 'frontend.foo' &&
      error.message === 'unsupported request frontend.foo',
  );
});
