import { serve } from '@hono/node-server';
import { Hono } from 'hono';
import { createTasks, NewTask } from './tasks.ts';

const tasks = createTasks();
const app = new Hono();

app.get('/health', c => c.json({ ok: true }));
app.get('/tasks', c => c.json(tasks.list()));
app.post('/tasks', async c => {
  const body = NewTask.safeParse(await c.req.json());
  return body.success ? c.json(tasks.add(body.data.title), 201) : c.json({ error: body.error.issues }, 400);
});
app.put('/tasks/:id/done', c => {
  const task = tasks.finish(Number(c.req.param('id')));
  return task ? c.json(task) : c.json({ error: 'no such task' }, 404);
});

const port = Number(process.env.PORT ?? 8080);
serve({ fetch: app.fetch, port });
console.log(`my-api listens on ${port}`);
