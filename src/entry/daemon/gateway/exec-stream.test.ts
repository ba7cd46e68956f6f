import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { ExitError } from '../../../host/runtime/exit-error.ts';
import { type ExecMessage, ExecMessageSchema } from '../../../wire/proto/gen/control/gateway_pb.ts';
import { createOutbox } from '../../../wire/session/outbox.ts';
import type { Containers } from './containers.ts';
import { execStream } from './exec-stream.ts';

const { signal } = new AbortController();

function message(Input: NonNullable<MessageInitShape<typeof ExecMessageSchema>['Input']>): ExecMessage {
  return create(ExecMessageSchema, { ProcessID: 'one', Input });
}

/** Containers whose only process is `run`. */
function containersThat(run: Containers['run']): Containers {
  const unused = () => {
    throw new Error('not to be called');
  };
  return { open: unused, run, release: unused, files: unused, [Symbol.asyncDispose]: async () => undefined };
}

test('a size and a signal that come before the process can be spoken to are not lost', async () => {
  const sizes: string[] = [];
  const signals: number[] = [];
  const spoken = Promise.withResolvers<void>();
  const containers = containersThat(async (_, { stdout, onStarted }) => {
    // The first output may come before the process is seen to run, and the frontend then believes that it does.
    stdout(Buffer.from('$ '));
    await spoken.promise;
    onStarted({
      resize: (rows, columns) => void sizes.push(`${rows} ${columns}`),
      signal: number => void signals.push(number),
    });
    throw new ExitError(99);
  });
  const requests = createOutbox<ExecMessage>();
  await requests.send(message({ case: 'Init', value: { ContainerID: 'c', Tty: true, Fds: [0, 1] } }));
  const seen: string[] = [];
  let code: number | undefined;
  for await (const { Input: answer } of execStream(requests, containers, signal)) {
    seen.push(answer?.case ?? '');
    if (answer?.case === 'Started') {
      await requests.send(message({ case: 'Resize', value: { Rows: 20, Cols: 30 } }));
      await requests.send(message({ case: 'Resize', value: { Rows: 40, Cols: 80 } }));
      await requests.send(message({ case: 'Signal', value: { Name: 'HUP' } }));
      requests.close();
      setImmediate(spoken.resolve);
    }
    if (answer?.case === 'Exit') code = answer.value.Code;
  }
  assert.deepEqual(sizes, ['20 30', '40 80']);
  assert.deepEqual(signals, [1]);
  assert.equal(code, 99);
  assert.deepEqual(seen, ['Started', 'File', 'Exit', 'File', 'Done']);
});

test('a process that is taken has started for its frontend, which may wait for that before it reads of another', async () => {
  const heard = Promise.withResolvers<void>();
  const containers = containersThat(async (_, { onTaken, stdout }) => {
    onTaken();
    await heard.promise;
    stdout(Buffer.from('out'));
  });
  const requests = createOutbox<ExecMessage>();
  await requests.send(message({ case: 'Init', value: { ContainerID: 'c', Fds: [1] } }));
  requests.close();
  const seen: string[] = [];
  for await (const { Input: answer } of execStream(requests, containers, signal)) {
    seen.push(answer?.case ?? '');
    heard.resolve();
  }
  assert.deepEqual(seen, ['Started', 'File', 'Exit', 'File', 'Done']);
});

test('what is said to a process that has ended goes nowhere, and ends nothing', async () => {
  const containers = containersThat(async () => undefined);
  const requests = createOutbox<ExecMessage>();
  await requests.send(message({ case: 'Init', value: { ContainerID: 'c', Fds: [0] } }));
  const seen: string[] = [];
  for await (const { Input: answer } of execStream(requests, containers, signal)) {
    seen.push(answer?.case ?? '');
    if (answer?.case !== 'Done') continue;
    await requests.send(message({ case: 'File', value: { Fd: 0, Data: Buffer.from('late') } }));
    await requests.send(message({ case: 'Resize', value: { Rows: 1, Cols: 1 } }));
    await requests.send(message({ case: 'File', value: { Fd: 0, EOF: true } }));
    requests.close();
  }
  assert.deepEqual(seen, ['Started', 'Exit', 'Done']);
});
