/** The queue of edges that something happened to, the demands between them, and the work under way. */
import type { Demand, EdgeState, Phase, Task } from './edge.ts';
import type { VertexStream } from './vertex-stream.ts';

export interface Scheduler<R> {
  /** Has an edge looked at again, soon. */
  wake(edge: EdgeState<R>): void;
  demand(target: EdgeState<R>, phase: Phase, seenKeys: number, wake: () => void): Demand<R>;
  withdraw(demand: Demand<R>): void;
  /** Aborts the work of an edge, unless someone wants it again before the queue is empty. */
  desert(edge: EdgeState<R>): void;
  /**
   * Starts work for an edge. `done` takes its value, `failed` what it threw unless the work was aborted; `cleared` is called before either.
   */
  start<T>(
    edge: EdgeState<R>,
    work: (signal: AbortSignal) => Promise<T>,
    on: { readonly cleared: () => void; readonly done: (value: T) => void; readonly failed: (error: unknown) => void },
  ): Task;
  /** Waits for the end of aborted work on vertices of a build. */
  aborted(stream: VertexStream): Promise<void>;
}

/** A scheduler that has `advance` look at edges, one after the other. `advance` must not throw. */
export function createScheduler<R>(advance: (edge: EdgeState<R>) => void): Scheduler<R> {
  const queue = new Set<EdgeState<R>>();
  const tasks = new Map<Task, EdgeState<R>>();
  const deserted = new Set<EdgeState<R>>();
  let scheduled = false;

  function drain(): void {
    // A set is walked in the order of insertion, what is added meanwhile included.
    for (const edge of queue) {
      queue.delete(edge);
      advance(edge);
    }
    for (const edge of deserted) {
      deserted.delete(edge);
      if (edge.demands.size > 0) continue;
      edge.mapTask?.controller.abort();
      edge.runTask?.controller.abort();
      for (const input of edge.inputs ?? []) input.contentTask?.controller.abort();
    }
    scheduled = false;
  }

  function wake(edge: EdgeState<R>): void {
    queue.add(edge);
    if (scheduled) return;
    scheduled = true;
    queueMicrotask(drain);
  }

  return {
    wake,

    demand(target, phase, seenKeys, wakeConsumer) {
      const demand: Demand<R> = { target, phase, seenKeys, wake: wakeConsumer };
      target.demands.add(demand);
      wake(target);
      return demand;
    },

    withdraw(demand) {
      const { target } = demand;
      target.demands.delete(demand);
      if (target.demands.size === 0) wake(target);
    },

    desert(edge) {
      deserted.add(edge);
    },

    start(edge, work, on) {
      const controller = new AbortController();
      const { signal } = controller;
      async function run(): Promise<void> {
        try {
          const value = await work(signal);
          on.cleared();
          on.done(value);
        } catch (error) {
          on.cleared();
          if (!signal.aborted) on.failed(error);
        } finally {
          tasks.delete(task);
          wake(edge);
        }
      }
      const task: Task = { controller, ended: Promise.resolve().then(run) };
      tasks.set(task, edge);
      return task;
    },

    async aborted(stream) {
      drain();
      for (;;) {
        const ending = [...tasks]
          .filter(([task, edge]) => task.controller.signal.aborted && edge.vertex.builds.has(stream))
          .map(([task]) => task.ended);
        if (ending.length === 0) return;
        await Promise.all(ending);
      }
    },
  };
}
