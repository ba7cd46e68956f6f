import { declare } from './libc.ts';
import { check } from './system-error.ts';

/** O_CLOEXEC, which Node does not name; the same on every architecture that Node runs on. */
const CLOSE_ON_EXEC = 0o2000000;

const pipe2 = declare<[Int32Array, number]>('pipe2', 'int', ['void *', 'int']);

/** Both ends of a pipe, as file descriptors that their owner closes. */
export interface PipeEnds {
  readonly read: number;
  readonly write: number;
}

/**
 * Makes a pipe: pipe2(2). Node gives children sockets in place of pipes, and a program cannot open a socket through
 * `/dev/stdout`. Throws `SystemError`.
 */
export function openPipe(): PipeEnds {
  const ends = new Int32Array(2);
  check(pipe2(ends, CLOSE_ON_EXEC), 'pipe2');
  const [read = -1, write = -1] = ends;
  return { read, write };
}
