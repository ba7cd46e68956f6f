import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { dockerEngine } from './docker-engine.ts';

async function* archive() {
  yield Buffer.from('first ');
  yield Buffer.from('second');
}

/** An engine that answers every load alike, and what it was sent. */
async function engine(status: number, answer: string) {
  const dir = mkdtempSync(join(tmpdir(), 'outcrop-engine-'));
  const seen: string[] = [];
  const server = createServer(async (request, reply) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    seen.push(`${request.method} ${request.url} ${body}`);
    reply.writeHead(status).end(answer);
  });
  const socket = join(dir, 'docker.sock');
  await new Promise<void>(done => server.listen(socket, done));
  return {
    seen,
    load: dockerEngine({ DOCKER_HOST: `unix://${socket}` }),
    async [Symbol.asyncDispose]() {
      await new Promise(done => server.close(done));
      rmSync(dir, { recursive: true });
    },
  };
}

test('an archive is sent to the engine', async () => {
  await using docker = await engine(200, '{"stream":"Loaded image: a:latest\\n"}\n');
  await docker.load?.(archive(), AbortSignal.timeout(5000));
  assert.deepEqual(docker.seen, ['POST /images/load?quiet=1 first second']);
});

test('a refusal is told in the words of the engine', async () => {
  await using inLine = await engine(200, '{"error":"no space left"}\n');
  await assert.rejects(
    async () => inLine.load?.(archive(), AbortSignal.timeout(5000)),
    /refused the image: no space left/,
  );
  await using inStatus = await engine(500, '{"message":"broken"}');
  await assert.rejects(async () => inStatus.load?.(archive(), AbortSignal.timeout(5000)), /refused the image: broken/);
});

test('where there is no engine there is no loader', () => {
  assert.equal(dockerEngine({ DOCKER_HOST: 'unix:///nowhere/docker.sock' }), undefined);
  assert.equal(dockerEngine({ DOCKER_HOST: 'ssh://host' }), undefined);
});
