import { z } from 'zod';

export const NewTask = z.object({ title: z.string().min(1).max(200) });

export type Task = z.infer<typeof NewTask> & { id: number; done: boolean };

export function createTasks() {
  const tasks = new Map<number, Task>();
  let nextId = 1;
  return {
    list: (): Task[] => [...tasks.values()],
    add(title: string): Task {
      const task = { id: nextId++, title, done: false };
      tasks.set(task.id, task);
      return task;
    },
    finish(id: number): Task | undefined {
      const task = tasks.get(id);
      if (task) task.done = true;
      return task;
    },
  };
}
