import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { type Task, type TaskMessage, type TaskReply, unpackError } from './task.ts';
import type { Tasks } from './worker.ts';

type Input<T> = T extends Task<infer I, unknown> ? I : never;
type Output<T> = T extends Task<never, infer O> ? Awaited<O> : never;

/** Threads for work that would keep the main one from answering. They never keep the process alive while idle. */
export interface WorkerPool extends AsyncDisposable {
  /**
   * Runs a task by name in the next free thread. Rejects with the task's error, or with the signal's reason; an aborted
   * task has stopped, and cleaned up, by then.
   */
  run<N extends keyof Tasks>(name: N, input: Input<Tasks[N]>, signal?: AbortSignal): Promise<Output<Tasks[N]>>;
}

interface Job {
  readonly id: number;
  readonly name: string;
  readonly input: unknown;
  readonly aborted: Int32Array;
  readonly resolve: (output: unknown) => void;
  readonly reject: (error: unknown) => void;
}

interface Thread {
  readonly worker: Worker;
  job: Job | undefined;
}

/** A worker thread ended in the middle of its task. */
export class WorkerDiedError extends Error {
  override readonly name = 'WorkerDiedError';
}

/** Makes a pool; its threads start when first needed. @param size How many at most; the number of cores unless said. */
export function createWorkerPool(size: number = availableParallelism()): WorkerPool {
  const threads = new Set<Thread>();
  const queue: Job[] = [];
  let jobs = 0;
  let closed = false;

  const idle = (): Thread | undefined => {
    for (const thread of threads) if (thread.job === undefined) return thread;
    return threads.size < size ? start() : undefined;
  };

  const start = (): Thread => {
    // Bundled, this file and the worker lie beside each other as .js.
    const url = new URL(import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js', import.meta.url);
    const worker = new Worker(url, { name: 'outcrop', execArgv: [] });
    const thread: Thread = { worker, job: undefined };
    const fail = (error: unknown): void => {
      threads.delete(thread);
      thread.job?.reject(new WorkerDiedError(`a worker thread died: ${String(error)}`, { cause: error }));
      thread.job = undefined;
      next();
    };
    worker.on('message', (reply: TaskReply) => finish(thread, reply));
    worker.on('error', fail);
    worker.on('exit', code => {
      if (threads.has(thread)) fail(new Error(`exit code ${code}`));
    });
    worker.unref();
    threads.add(thread);
    return thread;
  };

  const finish = (thread: Thread, reply: TaskReply): void => {
    const { job } = thread;
    if (job === undefined || job.id !== reply.id) return;
    thread.job = undefined;
    thread.worker.unref();
    if (reply.ok) job.resolve(reply.output);
    else job.reject(unpackError(reply.error));
    next();
  };

  const next = (): void => {
    while (queue.length > 0) {
      const thread = idle();
      if (thread === undefined) return;
      const job = queue.shift();
      if (job === undefined) return;
      thread.job = job;
      // Whoever waits for a task wants the process to live until it is done.
      thread.worker.ref();
      const { id, name, input, aborted } = job;
      thread.worker.postMessage({ kind: 'run', id, name, input, aborted } satisfies TaskMessage);
    }
  };

  const abort = (job: Job): void => {
    const waiting = queue.indexOf(job);
    if (waiting >= 0) {
      queue.splice(waiting, 1);
      job.reject(new Error('aborted'));
      return;
    }
    Atomics.store(job.aborted, 0, 1);
    for (const thread of threads) {
      if (thread.job === job) thread.worker.postMessage({ kind: 'abort', id: job.id } satisfies TaskMessage);
    }
  };

  return {
    async run(name, input, signal) {
      signal?.throwIfAborted();
      if (closed) throw new WorkerDiedError('the worker pool is closed');
      const { promise, resolve, reject } = Promise.withResolvers<unknown>();
      const job: Job = { id: jobs++, name, input, aborted: new Int32Array(new SharedArrayBuffer(4)), resolve, reject };
      const onAbort = (): void => abort(job);
      signal?.addEventListener('abort', onAbort, { once: true });
      queue.push(job);
      next();
      try {
        return (await promise) as Output<Tasks[typeof name]>;
      } catch (error) {
        signal?.throwIfAborted();
        throw error;
      } finally {
        signal?.removeEventListener('abort', onAbort);
      }
    },
    async [Symbol.asyncDispose]() {
      closed = true;
      for (const job of queue.splice(0)) job.reject(new WorkerDiedError('the worker pool is closed'));
      await Promise.all([...threads].map(({ worker }) => worker.terminate()));
    },
  };
}

let shared: WorkerPool | undefined;

/** The pool that the whole process shares. */
export function workerPool(): WorkerPool {
  shared ??= createWorkerPool();
  return shared;
}
