/** The thread that heavy byte work runs in: takes tasks by name from the pool, one at a time. */
import { parentPort } from 'node:worker_threads';
import { applyLayer } from '../snapshot/apply-layer.ts';
import { hashRecords } from '../snapshot/checksum-task.ts';
import { convertLayer } from '../snapshot/convert-layer.ts';
import { diffLayer } from '../snapshot/diff-layer.ts';
import { copyFileBatch } from '../snapshot/file-tree-copy-task.ts';
import { measureLayer } from '../snapshot/measure-layer.ts';
import { packTree } from '../snapshot/pack-tree.ts';
import { writeLayer } from '../snapshot/write-layer.ts';
import { hashFile } from './hash-file.ts';
import { packError, type Task, type TaskMessage, type TaskReply } from './task.ts';

const tasks = {
  hashFile,
  copyFileBatch,
  hashRecords,
  applyLayer,
  writeLayer,
  convertLayer,
  diffLayer,
  measureLayer,
  packTree,
};

/** The tasks that a pool can run, by name. */
export type Tasks = typeof tasks;

const running = new Map<number, AbortController>();

function isTask(name: string): name is keyof Tasks {
  return Object.hasOwn(tasks, name);
}

async function run(message: TaskMessage & { readonly kind: 'run' }): Promise<TaskReply> {
  const { id, name, input, aborted } = message;
  const controller = new AbortController();
  running.set(id, controller);
  try {
    if (!isTask(name)) throw new Error(`no task ${name}`);
    const task: Task<never, unknown> = tasks[name];
    const output = await task(input as never, {
      signal: controller.signal,
      throwIfAborted() {
        if (Atomics.load(aborted, 0) !== 0) throw new Error('aborted');
      },
    });
    return { id, ok: true, output };
  } catch (error) {
    return { id, ok: false, error: packError(error) };
  } finally {
    running.delete(id);
  }
}

parentPort?.on('message', async (message: TaskMessage) => {
  if (message.kind === 'abort') running.get(message.id)?.abort();
  else parentPort?.postMessage(await run(message));
});
