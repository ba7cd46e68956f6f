import { constants } from 'node:os';
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { ProcessControl } from '../../../host/runtime/container.ts';
import { Code } from '../../../wire/grpc/code.ts';
import { StatusError, toStatusMessage } from '../../../wire/grpc/status.ts';
import type {
  ExecMessage,
  ExecMessageSchema,
  FdMessage,
  InitMessage,
} from '../../../wire/proto/gen/control/gateway_pb.ts';
import { createOutbox, type Outbox } from '../../../wire/session/outbox.ts';
import { exitDetail } from '../error-details.ts';
import { errorStatus } from '../error-status.ts';
import { type Containers, exitCodeOf } from './containers.ts';

type Answer = MessageInitShape<typeof ExecMessageSchema>;

interface Process {
  readonly stdin: Outbox<Uint8Array> | undefined;
  control: ProcessControl | undefined;
  /** What it is told once there is a way to. */
  readonly pending: ((control: ProcessControl) => void)[];
  hasEnded: boolean;
}

/**
 * Runs processes for a frontend, all through one stream of messages (gateway facts, 9). The stream ends in error when a
 * message makes no sense; what runs is ended with it.
 */
export async function* execStream(
  requests: AsyncIterable<ExecMessage>,
  containers: Containers,
  signal: AbortSignal,
): AsyncGenerator<Answer> {
  const answers = createOutbox<Answer>();
  const processes = new Map<string, Process>();
  const end = new AbortController();
  const either = AbortSignal.any([signal, end.signal]);
  const running = new Set<Promise<void>>();

  function start(id: string, init: InitMessage): void {
    if (processes.has(id)) throw new StatusError(Code.alreadyExists, `Process ${id} already exists`);
    const reads = init.Tty || init.Fds.includes(0);
    const process: Process = {
      stdin: reads ? createOutbox<Uint8Array>() : undefined,
      control: undefined,
      pending: [],
      hasEnded: false,
    };
    processes.set(id, process);
    const run = runProcess(id, init, process, containers, answers, either).finally(() => {
      // What its frontend still says, it said before it knew.
      process.hasEnded = true;
      running.delete(run);
    });
    running.add(run);
  }

  function processOf(id: string): Process {
    const process = processes.get(id);
    if (process === undefined) throw new StatusError(Code.notFound, `IO for process ${JSON.stringify(id)} not found`);
    return process;
  }

  async function take({ ProcessID: id, Input: input }: ExecMessage): Promise<void> {
    if (id === '') throw new StatusError(Code.invalidArgument, 'ProcessID required');
    switch (input.case) {
      case 'Init':
        start(id, input.value);
        return;
      case 'File':
        await write(processOf(id), input.value);
        return;
      case 'Resize':
        tell(processOf(id), control => control.resize(input.value.Rows, input.value.Cols));
        return;
      case 'Signal': {
        const number = signalNumber(input.value.Name);
        tell(processOf(id), control => control.signal(number));
        return;
      }
      default:
        throw new StatusError(Code.invalidArgument, `unexpected message ${input.case ?? ''} for process ${id}`);
    }
  }

  const taking = (async () => {
    for await (const request of requests) await take(request);
    await Promise.all(running);
  })();
  taking.then(answers.close, answers.fail);
  try {
    yield* answers;
  } finally {
    end.abort(new StatusError(Code.canceled, 'context canceled'));
    await Promise.all(running);
  }
}

function tell({ control, pending, hasEnded }: Process, say: (control: ProcessControl) => void): void {
  if (hasEnded) return;
  if (control === undefined) pending.push(say);
  else say(control);
}

async function write(
  { stdin, hasEnded }: Process,
  { Fd: descriptor, EOF: isEnd, Data: data }: FdMessage,
): Promise<void> {
  if (descriptor !== 0 || stdin === undefined)
    throw new StatusError(Code.outOfRange, `fd ${descriptor} unavailable to write`);
  if (hasEnded) return;
  if (data.length > 0) await stdin.send(data);
  if (isEnd) stdin.close();
}

async function runProcess(
  id: string,
  init: InitMessage,
  process: Process,
  containers: Containers,
  answers: Outbox<Answer>,
  signal: AbortSignal,
): Promise<void> {
  const say = (Input: NonNullable<Answer['Input']>) => answers.send({ ProcessID: id, Input });
  const wants = (descriptor: number) => init.Tty || init.Fds.includes(descriptor);
  const output = (descriptor: number) => (Data: Uint8Array) => {
    if (wants(descriptor)) void say({ case: 'File', value: { Fd: descriptor, Data: Uint8Array.from(Data) } });
  };
  let isStarted = false;
  const started = () => {
    if (isStarted) return;
    isStarted = true;
    void say({ case: 'Started', value: {} });
  };
  let failure: unknown;
  try {
    await containers.run(
      init.ContainerID,
      {
        init,
        stdin: process.stdin,
        // A process that ends at once may never be seen to run.
        stdout: chunk => {
          started();
          output(1)(chunk);
        },
        stderr: chunk => {
          started();
          output(2)(chunk);
        },
        onTaken: started,
        onStarted(control) {
          process.control = control;
          for (const say of process.pending.splice(0)) say(control);
          started();
        },
      },
      signal,
    );
  } catch (error) {
    if (error instanceof StatusError && error.code === Code.notFound) {
      answers.fail(error);
      return;
    }
    failure = error;
  }
  process.stdin?.close();
  started();
  await say({ case: 'Exit', value: failure === undefined ? {} : exitOf(failure) });
  for (const descriptor of init.Tty ? [1] : [1, 2])
    if (wants(descriptor)) await say({ case: 'File', value: { Fd: descriptor, EOF: true } });
  await say({ case: 'Done', value: {} });
}

/** How a process ended, for its frontend. There must be an error whenever the code is not 0. */
function exitOf(failure: unknown): { Code: number; Error: ReturnType<typeof toStatusMessage> } {
  const code = exitCodeOf(failure);
  const { code: status, message, details } = errorStatus(failure);
  const all = [...details, exitDetail(code)];
  return { Code: code, Error: toStatusMessage(new StatusError(status, message, { details: all })) };
}

/** The number of a signal, named without `SIG`. Throws StatusError. */
function signalNumber(name: string): number {
  const { signals } = constants;
  const full = `SIG${name.replace(/^SIG/, '')}`;
  if (full in signals) return signals[full as NodeJS.Signals];
  const [, offset] = /^SIGRTMIN(?:\+(\d+))?$/.exec(full) ?? [];
  if (full.startsWith('SIGRTMIN')) return FIRST_REAL_TIME + Number(offset ?? 0);
  throw new StatusError(Code.invalidArgument, `Unknown signal ${name}`);
}

/** The first real-time signal that the C library leaves to programs. */
const FIRST_REAL_TIME = 34;
