/** A page in a real browser, driven over its debugging protocol. */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Whether there is a browser. */
export function hasChromium(): boolean {
  return spawnSync('chromium', ['--version']).error === undefined;
}

interface PageOptions {
  readonly width?: number;
  readonly height?: number;
  readonly dark?: true;
}

export interface Browser extends AsyncDisposable {
  open(url: string, options?: PageOptions): Promise<Page>;
}

export interface Page {
  /** The value of an expression, once a promise of it is kept. */
  evaluate(expression: string): Promise<unknown>;
  /** Presses a key as a person does. */
  press(key: string): Promise<void>;
  type(text: string): Promise<void>;
  /** Milliseconds of processor time that the page's thread has used. */
  cpuTime(): Promise<number>;
  /** What the page complained of. */
  complaints(): readonly string[];
  screenshot(file: string): Promise<void>;
}

type Answer = { readonly [member: string]: unknown };

/** Starts a browser of its own profile. */
export async function startBrowser(): Promise<Browser> {
  const profile = mkdtempSync(join(tmpdir(), 'outcrop-chromium-'));
  const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--hide-scrollbars', '--remote-debugging-port=0'];
  const child = spawn('chromium', [...flags, `--user-data-dir=${profile}`, 'about:blank'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  const address = await new Promise<string>((found, failed) => {
    child.once('error', failed).once('exit', () => failed(new Error(`chromium ended: ${said}`)));
    child.stderr.on('data', chunk => {
      said += chunk;
      const url = /listening on (ws:\S+)/.exec(said)?.[1];
      if (url !== undefined) found(url);
    });
  });
  const connection = await connect(address);
  return {
    open: (url, options) => openPage(connection, url, options),
    async [Symbol.asyncDispose]() {
      const ended = new Promise(done => child.once('exit', done));
      await connection.send('Browser.close').catch(() => child.kill());
      await ended;
      rmSync(profile, { recursive: true, force: true });
    },
  };
}

interface Connection {
  send(method: string, params?: Answer, session?: string): Promise<Answer>;
  onEvent(listener: (method: string, params: Answer, session: string | undefined) => void): void;
}

async function connect(address: string): Promise<Connection> {
  const socket = new WebSocket(address);
  const waiting = new Map<number, { done: (answer: Answer) => void; failed: (error: Error) => void }>();
  const listeners: ((method: string, params: Answer, session: string | undefined) => void)[] = [];
  await new Promise((done, failed) => {
    socket.addEventListener('open', done, { once: true });
    socket.addEventListener('error', () => failed(new Error(`no connection to ${address}`)), { once: true });
  });
  socket.addEventListener('message', ({ data }) => {
    const message = JSON.parse(String(data)) as {
      id?: number;
      method?: string;
      params?: Answer;
      result?: Answer;
      error?: { message: string };
      sessionId?: string;
    };
    if (message.id === undefined) {
      for (const listener of listeners) listener(message.method ?? '', message.params ?? {}, message.sessionId);
      return;
    }
    const one = waiting.get(message.id);
    waiting.delete(message.id);
    if (message.error === undefined) one?.done(message.result ?? {});
    else one?.failed(new Error(message.error.message));
  });
  let last = 0;
  return {
    send(method, params = {}, session) {
      const id = ++last;
      socket.send(JSON.stringify({ id, method, params, ...(session === undefined ? {} : { sessionId: session }) }));
      return new Promise((done, failed) => waiting.set(id, { done, failed }));
    },
    onEvent: listener => void listeners.push(listener),
  };
}

async function openPage(
  connection: Connection,
  url: string,
  { width = 1280, height = 760, dark }: PageOptions = {},
): Promise<Page> {
  const { targetId } = await connection.send('Target.createTarget', { url: 'about:blank' });
  const { sessionId } = await connection.send('Target.attachToTarget', { targetId, flatten: true });
  const session = String(sessionId);
  const send = (method: string, params?: Answer) => connection.send(method, params, session);
  const complaints: string[] = [];
  let loaded: (() => void) | undefined;
  connection.onEvent((method, params, from) => {
    if (from !== session) return;
    if (method === 'Page.loadEventFired') loaded?.();
    if (method === 'Runtime.exceptionThrown' || method === 'Log.entryAdded') complaints.push(JSON.stringify(params));
  });
  for (const domain of ['Page', 'Runtime', 'Log']) await send(`${domain}.enable`);
  await send('Performance.enable', { timeDomain: 'threadTicks' });
  await send('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: 1, mobile: false });
  if (dark) {
    await send('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value: 'dark' }] });
  }
  const isLoaded = new Promise<void>(done => {
    loaded = done;
  });
  await send('Page.navigate', { url });
  await isLoaded;
  return {
    async evaluate(expression) {
      const { result, exceptionDetails } = await send('Runtime.evaluate', {
        expression,
        awaitPromise: true,
        returnByValue: true,
      });
      if (exceptionDetails !== undefined) throw new Error(JSON.stringify(exceptionDetails));
      return (result as Answer)['value'];
    },
    async press(key) {
      const text = key.length === 1 ? { text: key } : {};
      await send('Input.dispatchKeyEvent', { type: 'keyDown', key, ...text });
      await send('Input.dispatchKeyEvent', { type: 'keyUp', key });
    },
    async type(text) {
      await send('Input.insertText', { text });
    },
    async cpuTime() {
      const { metrics } = await send('Performance.getMetrics');
      const all = metrics as readonly { readonly name: string; readonly value: number }[];
      return (all.find(({ name }) => name === 'TaskDuration')?.value ?? 0) * 1000;
    },
    complaints: () => complaints,
    async screenshot(file) {
      const { data } = await send('Page.captureScreenshot', { format: 'png' });
      writeFileSync(file, Buffer.from(String(data), 'base64'));
    },
  };
}
