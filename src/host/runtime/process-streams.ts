import { closeSync, write } from 'node:fs';
import { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { ReadStream } from 'node:tty';
import { openPipe } from '../system/pipe.ts';
import { openPty, setWindowSize } from '../system/pty.ts';

/** BuildKit forwards output in pieces of at most this many bytes. */
const PIECE = 32 * 1024;
const RETRY_INTERVAL = 5;

/** What a process reads and where its output goes. */
export interface ProcessStreams {
  /** What it can read; nothing unless given. */
  readonly stdin?: AsyncIterable<Uint8Array>;
  /** Called with each piece of output, at most 32 KiB; the bytes are the callee's. */
  readonly stdout: (chunk: Uint8Array) => void;
  readonly stderr: (chunk: Uint8Array) => void;
  /** A terminal in place of pipes: all output is standard output. */
  readonly terminal?: boolean;
}

/** Streams of a process that is to be started. */
export interface OpenStreams {
  /** What to start it with. */
  readonly stdio: readonly ['ignore' | number, number, number];
  /** To be called when it was started: it has its ends. */
  started(): void;
  /** Settles when all its outputs are closed. */
  readonly closed: Promise<void>;
  /** Tells its terminal how large it is; does nothing without one. */
  resize(rows: number, columns: number): void;
  /** To be called when it has ended: nothing is written to it any more. */
  ended(): void;
}

/** Makes the ends of streams. Throws `SystemError`. */
export function openStreams(streams: ProcessStreams): OpenStreams {
  return streams.terminal === true ? openTerminal(streams) : openPipes(streams);
}

function openPipes({ stdin, stdout, stderr }: ProcessStreams): OpenStreams {
  const [out, err] = [openPipe(), openPipe()];
  const input = stdin === undefined ? undefined : openPipe();
  const closed = Promise.all([drain(out.read, stdout), drain(err.read, stderr)]);
  const writer = input === undefined ? undefined : new Socket({ fd: input.write, readable: false, writable: true });
  // A process need not read all that it is given.
  writer?.on('error', () => writer.destroy());
  return {
    stdio: [input?.read ?? 'ignore', out.write, err.write],
    started() {
      closeSync(out.write);
      closeSync(err.write);
      if (input !== undefined) closeSync(input.read);
      if (stdin !== undefined && writer !== undefined) void feed(stdin, writer);
    },
    closed: closed.then(() => undefined),
    resize: () => undefined,
    ended: () => void writer?.destroy(),
  };
}

async function feed(bytes: AsyncIterable<Uint8Array>, writer: Socket): Promise<void> {
  try {
    for await (const chunk of bytes) {
      if (writer.destroyed) return;
      if (writer.write(chunk)) continue;
      await new Promise<void>(resolve => {
        writer.once('drain', resolve);
        writer.once('close', resolve);
      });
    }
    writer.end();
  } catch {
    writer.destroy();
  }
}

function openTerminal({ stdin, stdout }: ProcessStreams): OpenStreams {
  const { master, slave } = openPty();
  const reader = new ReadStream(master);
  // What is typed is for the process in the container, whose own terminal gives it its meaning.
  reader.setRawMode(true);
  const { promise: closed, resolve } = Promise.withResolvers<void>();
  let isOpen = true;
  reader.on('data', (chunk: Buffer) => {
    for (let at = 0; at < chunk.length; at += PIECE) stdout(Uint8Array.from(chunk.subarray(at, at + PIECE)));
  });
  // The last process that had it open is gone: EIO.
  reader.on('error', () => reader.destroy());
  reader.on('end', () => reader.destroy());
  reader.once('close', () => {
    isOpen = false;
    resolve();
  });
  return {
    stdio: [slave, slave, slave],
    started() {
      closeSync(slave);
      if (stdin !== undefined) void type(stdin, master, () => isOpen);
    },
    closed,
    resize(rows, columns) {
      if (isOpen) setWindowSize(master, rows, columns);
    },
    ended: () => undefined,
  };
}

async function type(bytes: AsyncIterable<Uint8Array>, terminal: number, isOpen: () => boolean): Promise<void> {
  try {
    for await (const chunk of bytes) {
      let at = 0;
      while (at < chunk.length) {
        if (!isOpen()) return;
        const written = await tryWrite(terminal, chunk.subarray(at));
        if (written === 0) await delay(RETRY_INTERVAL);
        at += written;
      }
    }
  } catch {
    // Nobody reads any more.
  }
}

function tryWrite(descriptor: number, bytes: Uint8Array): Promise<number> {
  return new Promise((resolve, reject) => {
    write(descriptor, bytes, (error, written) => {
      if (error === null) resolve(written);
      else if (error.code === 'EAGAIN') resolve(0);
      else reject(error);
    });
  });
}

/** Reads a pipe to its end and closes it. */
function drain(descriptor: number, sink: (chunk: Uint8Array) => void): Promise<void> {
  return new Promise(resolve => {
    const socket = new Socket({
      fd: descriptor,
      readable: true,
      writable: false,
      onread: {
        buffer: Buffer.allocUnsafe(PIECE),
        callback: (length, buffer) => {
          sink(Uint8Array.prototype.slice.call(buffer, 0, length));
          return true;
        },
      },
    });
    socket.once('close', () => resolve());
    socket.once('error', () => socket.destroy());
    socket.resume();
  });
}
